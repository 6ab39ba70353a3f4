"""Who decides, as the headers of a request say it.

In: ``X-Trimtab-Actor``, a name in percent-encoded UTF-8, and ``X-Trimtab-Via``. Out: an actor whom the audit can name.
The token proves that somebody may decide, not who they are: the name is what the caller says, and the dashboard, which
asks people for theirs, is a caller like any other. Apart from the routes because every one that decides takes it. A
name that can't be shown in one line refuses the request before anything changes.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote_to_bytes

from fastapi import Header
from starlette.exceptions import HTTPException

from .control import Actor

ACTOR_HEADER = "X-Trimtab-Actor"
"""As clients send it."""
UNKNOWN = "unknown"
"""Who decides where nobody says who."""


def Who(  # noqa: N802 - a dependency reads like the type it gives
    x_trimtab_actor: Annotated[
        str | None, Header(description="Who decides, at most 80 characters; percent-encoded UTF-8")
    ] = None,
    x_trimtab_via: Annotated[Literal["api", "cli", "dashboard", "demo"], Header(description="From where")] = "api",
) -> Actor:
    """The actor of a request."""
    try:
        name = unquote_to_bytes(x_trimtab_actor or UNKNOWN).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise HTTPException(422, f"{ACTOR_HEADER} is no percent-encoded UTF-8; nothing was done.") from None
    actor = Actor(name or UNKNOWN, x_trimtab_via)
    actor.check()
    return actor

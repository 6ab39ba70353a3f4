"""Asks the checks of an escalation about a response, before it is handed out.

In: the capture of a call that a cheaper model answered first, and its response. Out: the name of the check that turns
the answer down, empty where none does. Apart from :mod:`.send_again`, which goes on by it, because an event loop must
not wait for the agent's own checks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..capture import Capture
from ..guard import guarded, guarded_async
from ..verifiers import Answer, answer_of, verifiers

BROKEN = "error"
"""Stands for a check that could not be made: the answer counts as failed."""


class Check(NamedTuple):
    """What is to be asked about an answer before it is handed out (``escalate``)."""

    names: tuple[str, ...]
    answer: Answer | None


@guarded()
def check_of(capture: Capture, response: Any) -> Check | None:
    """What is to be asked about ``response``; None where it is no answer, or there is nothing to ask."""
    detour = capture.detour
    escalation = detour.escalation if detour is not None else None
    if escalation is None or response.status_code >= 400 or not hasattr(response, "_content"):
        return None
    return Check(escalation.checks, answer_of(capture.fmt, escalation.request, response.content))


@guarded(default=BROKEN)
def asked(check: Check) -> str:
    """The first check that the answer fails; empty where it passes all."""
    return verifiers.failed(check.names, check.answer) or ""


@guarded_async
async def aasked(check: Check) -> str:
    """The same; what the agent's own checks take, the event loop does not."""
    if not verifiers.has_own(check.names):
        return asked(check)
    import anyio.to_thread

    return await anyio.to_thread.run_sync(asked, check, abandon_on_cancel=True)

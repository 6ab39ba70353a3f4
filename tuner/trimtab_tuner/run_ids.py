"""Which run is meant: reports print the end of a run's id, people type that, and the store knows the whole one.

In: what was typed, and the ids there are, newest first. Out: the one id that is meant. What fits none or several raises
:class:`~trimtab_tracer.errors.TrimtabError` with the ids that come near. Apart from the command that asks because the
ids come from a running sidecar or from the store, and the answer has to be the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from trimtab_tracer.errors import TrimtabError

if TYPE_CHECKING:
    import duckdb

SHOWN = 4
"""How many ids a sentence lists."""
SEARCHED = 2_000
"""Among how many ids, the newest, those that are spelled nearly the same are looked for."""


def whole_id(typed: str, ids: Iterable[str]) -> str:
    """The id that is ``typed``, or that alone begins or ends with it.

    Raises:
        TrimtabError: there is none, or more than one.
    """
    known = list(ids)
    if typed in known:
        return typed
    fitting = [one for one in known if one.startswith(typed) or one.endswith(typed)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise TrimtabError(
            f"{len(fitting)} runs are called {typed!r}: {_list(fitting)}; type more of the one you mean."
        )
    if near := _near(typed, known[:SEARCHED]):
        hint = f"near to it: {_list(near)}"
    else:
        hint = f"the latest: {_list(known)}" if known else "there is none at all"
    raise TrimtabError(f"There is no run {typed!r}; {hint}. `trimtab report --json` lists all run ids.")


def whole_id_in(con: duckdb.DuckDBPyConnection, typed: str | None) -> str | None:
    """The id of the store's run that is meant; None where none was typed.

    Raises:
        TrimtabError: there is none, or more than one.
    """
    if typed is None:
        return None
    known = con.execute("SELECT run_id FROM runs ORDER BY started_ns DESC, run_id DESC").fetchall()
    return whole_id(typed, (one for (one,) in known))


def _near(typed: str, ids: list[str]) -> list[str]:
    """Ids which are, or whose printed end is, spelled nearly like ``typed``."""
    import difflib  # only when something already went wrong

    spelled = {one[-len(typed) :]: one for one in ids} | {one: one for one in ids}
    return list(dict.fromkeys(spelled[s] for s in difflib.get_close_matches(typed, spelled, n=SHOWN, cutoff=0.6)))


def _list(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(islice(ids, SHOWN)) + more

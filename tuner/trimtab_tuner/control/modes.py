"""What trimtab may do about a knob without being asked: ``observe``, ``recommend`` or ``auto``.

In: a decision inside its transaction, or a cursor. Out: rows of ``knob_modes``, and the mode that holds for a knob: its
own, else that of all knobs, else the setting's. A module of its own because proposing, learning and promoting all ask
it, and only people set it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy_values import check_knob

from ..reads import Row, fetch
from . import experiments, rows
from .change import Change
from .errors import Refused

if TYPE_CHECKING:
    import duckdb

MODES: Final = ("observe", "recommend", "auto")
"""``observe``: nothing is proposed and nothing tried. ``recommend``: what is found is proposed, and experiments that
people start are learned from. ``auto``: what is proposed is also tried, and promoted when its gate says so."""
ALL: Final = "*"
"""Stands for all knobs that have no mode of their own."""


def modes(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """The modes that people have set, by knob."""
    return fetch(con, "SELECT * FROM knob_modes ORDER BY knob")


def mode_of(set_by_people: list[Row], knob: str, default: str) -> str:
    """The mode that holds for ``knob``; ``default`` is the setting's."""
    said = {row["knob"]: row["mode"] for row in set_by_people}
    return str(said.get(knob, said.get(ALL, default)))


def set_mode(change: Change, knob: str, mode: str | None, default: str) -> None:
    """Set the mode of a knob, or of :data:`ALL`; None takes its own away. Experiments on knobs that are only observed
    from here on end; ``default`` is the setting's mode.

    Raises:
        Refused: there is no such mode, or no such name of a knob.
    """
    if mode is not None and mode not in MODES:
        raise Refused.unusable("the mode", mode, f"one of {', '.join(MODES)}")
    if knob != ALL:
        try:
            check_knob(knob, "the knob")
        except PolicyError as error:
            raise Refused.by_policy(error) from None
    before = rows.one(change.con, "knob_modes", "knob", knob)
    change.con.execute("DELETE FROM knob_modes WHERE knob = ?", [rows.sound(knob)])
    if mode is not None:
        row: Row = {"knob": knob, "mode": mode, "set_ns": change.now_ns, "set_by": change.actor.name}
        rows.insert(change.con, "knob_modes", row)
    change.audit("set_mode", "knob", knob, before=before["mode"] if before else None, after=mode)
    said = modes(change.con)
    for experiment in experiments.running(change.con):
        if mode_of(said, experiment["knob"], default) == "observe":
            experiments.take_out(change, experiment, f"{experiment['knob']} is only observed from here on")

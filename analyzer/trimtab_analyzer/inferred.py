"""Outcomes that nobody said, inferred from how runs ended.

In: the store. Out: the table ``inferred_outcomes``, one row per run of which a rule says something
(``queries/inferred_outcomes.sql``), each with the rule's id and confidence. Apart from ``outcomes``, which holds what
the agent's code and its evaluators said: an inferred outcome counts only where that table has nothing
(``queries/outcomes.sql``), so it can overwrite nothing, and it goes by itself once its rule no longer fits (a run that
went on, a result that came late).
"""

from __future__ import annotations

import time
from typing import Final

import polars as pl

from . import load
from .ask import Connection, ask

SAYS: Final = {
    "vanished": "its process was gone without a word",
    "exception": "an exception ended it",
    "failed_call": "its last call got no answer",
    "cut_answer": "its last answer was cut by a token limit",
    "refused_answer": "its last answer was refused or filtered",
    "malformed_tool_call": "its last answer called a tool with arguments that nothing can parse, and nothing followed",
    "unanswered_tool_call": "its last answer asked for a tool, and nothing followed",
    "empty_answer": "its last answer was empty",
}
"""What each rule says of a run, for people."""

COLUMNS: Final = ("run_id", "success", "rule", "confidence", "call_id")


def infer(con: Connection, now_ns: int | None = None) -> int:
    """Bring the table up to date, in one transaction; how many rows changed.

    Raises:
        StoreError: the store does not have the tables of this version.
    """
    now = time.time_ns() if now_ns is None else now_ns
    with load.snapshot(con):
        found = ask(con, "inferred_outcomes", load.INFERRED)
        stored = con.sql(f"SELECT {', '.join(COLUMNS)} FROM inferred_outcomes").pl()
        changed = found.join(stored, on=list(COLUMNS), how="anti", nulls_equal=True)
        gone = stored.join(found, on="run_id", how="anti")["run_id"]
        if len(gone):
            con.execute("DELETE FROM inferred_outcomes WHERE run_id IN (SELECT unnest($ids))", {"ids": gone.to_list()})
        if changed.height:
            con.register("changed_outcomes", changed.with_columns(inferred_ns=pl.lit(now, pl.Int64)).to_arrow())
            con.execute("INSERT OR REPLACE INTO inferred_outcomes BY NAME SELECT * FROM changed_outcomes")
            con.unregister("changed_outcomes")
    return changed.height + len(gone)

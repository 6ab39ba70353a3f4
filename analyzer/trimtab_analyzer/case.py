"""What the rules look at: all frames of one analysis, and the grouping of what they find.

In: the store. Out: a :class:`Case`, the same for every rule, and :class:`Group` objects: what a rule hit, together with
everything that could have been hit under the same decision. Counting both is what lets a finding say "14 of 120" and
what keeps one bad call from looking like a pattern. The frames come from one transaction, so they fit together.
Decisions are ten times as many as calls, so they are read when asked for, and only for the calls at hand: whoever uses
a case keeps the transaction (:func:`~.load.snapshot`) open as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import polars as pl

from trimtab_tracer.prices import PriceList

from . import cost, load
from .load import Connection, RunIds

MAX_VALUES: Final = 5
"""Values of one knob at one place that get findings of their own. Beyond it (a prompt with the date in it, a limit
computed per call) they are one finding with the value ``null``: a hundred findings of one call each would blame the
values for what the place does."""


OF_POLICIES: Final = ("fallback", "backoff")
"""Knobs that only a policy sets, and that decide what becomes of a failed request before the number of retries does.
Where a call has no decision of them, they were not in force."""


IDS: Final = ("run_id", "call_id", "attempt_id", "tool_id")
"""Columns that every row has of what could have been hit, as far as its kind has them."""

MAX_READ: Final = 2
"""Sets of knobs whose decisions are kept: rules about one knob stand beside each other, and a million decisions take
100 MB."""


@dataclass(frozen=True, slots=True)
class Group:
    """What a rule hit under one decision, and what it could have hit there."""

    subject: str
    knob: str
    value: str
    """JSON text."""
    site_id: str | None
    hits: pl.DataFrame
    """One row per blamed attempt or tool call."""
    exposed: pl.DataFrame
    """The hits and everything else of the same subject, place and value: :data:`IDS`, and what the rule asked for."""
    unless: tuple[str, ...] = ()
    """Knobs that take a call out of this group where one of them is in force."""
    has_many_values: bool = False
    """The value ``null`` stands for several."""

    @property
    def decoded(self) -> Any:
        """The value in force; None where the code set nothing."""
        return json.loads(self.value)

    @property
    def source(self) -> str | None:
        """Where the value came from when it was last hit: ``code | default | human | experiment``; None where no
        decision was recorded."""
        said = self.hits["source"].drop_nulls() if "source" in self.hits.columns else pl.Series(dtype=pl.String)
        return said[-1] if len(said) else None

    @property
    def n_hit(self) -> int:
        """Calls that were hit."""
        return self.hits["call_id"].n_unique()

    @property
    def n_exposed(self) -> int:
        """Calls that could have been hit."""
        return self.exposed["call_id"].n_unique()


@dataclass(frozen=True, slots=True)
class Blame:
    """What a rule says about one group; :mod:`.findings` adds runs, money and evidence."""

    group: Group
    title: str
    advice: str
    numbers: dict[str, Any] = field(default_factory=dict)
    is_candidate: bool | None = None
    """Whether it only may be so; None where the rule says it for all it finds."""


@dataclass(frozen=True, slots=True)
class Case:
    """The frames of one analysis; what their columns mean is written in ``queries/``."""

    con: Connection
    """Where decisions are read from; inside the transaction that the frames come from."""
    attempts: pl.DataFrame
    tools: pl.DataFrame
    """With ``is_broken``."""
    broken: pl.DataFrame
    outcomes: pl.DataFrame
    run_errors: pl.DataFrame
    sites: dict[str, dict[str, Any]]
    ledger: pl.DataFrame
    loops: pl.DataFrame
    """Calls that a loop around the SDK sent again."""
    explained: frozenset[str] = frozenset()
    """Runs whose exception an earlier rule's finding already names."""
    run_ids: list[str] | None = None
    """The runs looked at; None for all."""
    excused: frozenset[str] = frozenset()
    """Attempts that an earlier rule answers for alone (:attr:`~.failures.Rule.excuses`): no later rule blames them."""
    doubted: frozenset[str] = frozenset()
    """Runs whose failure an earlier rule puts down to the evaluator: no candidate is looked for in them."""
    kept: dict[str, pl.DataFrame] = field(default_factory=dict)
    """Answers to questions that rules asked (:mod:`.facts`)."""
    read: dict[tuple[str, ...], tuple[pl.DataFrame, pl.DataFrame]] = field(default_factory=dict)
    """Decisions that were read already, by the knobs asked for: the calls, and their decisions."""

    @classmethod
    def load(cls, con: Connection, run_ids: RunIds = None, prices: PriceList | None = None) -> Case:
        """The case of these runs, or of all. A tool's health is always that over all runs.

        Args:
            con: Inside a :func:`~.load.snapshot` that lasts as long as the case is used.
            run_ids: The runs; None for all.
            prices: For the ledger (:func:`~.cost.ledger`).
        """
        with load.snapshot(con):
            attempts = load.attempts(con, run_ids)
            loops = load.retry_loops(con, run_ids)
            marks = cost.Marks.load(con, attempts, loops, run_ids, prices)
            broken = cost.broken_tools(load.tool_health(con))
            tools = load.tool_calls(con, run_ids)
            return cls(
                con=con,
                attempts=attempts,
                tools=cost.mark_broken(tools, broken),
                broken=broken,
                outcomes=load.outcomes(con, run_ids),
                run_errors=load.run_errors(con, run_ids),
                sites={row["site_id"]: row for row in load.sites(con).iter_rows(named=True)},
                ledger=cost.pinned(con, attempts, tools, broken, marks),
                loops=loops,
                run_ids=None if run_ids is None else list(run_ids),
            )

    def of_runs(self, run_ids: Sequence[str]) -> Case:
        """The attempts and the ledger of these runs; whatever all runs say stays as it is."""
        here = pl.col("run_id").is_in(list(run_ids))
        return replace(self, attempts=self.attempts.filter(here), ledger=self.ledger.filter(here))

    def once(self, question: str, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """The answer to a question, made where no rule asked it before."""
        if question not in self.kept:
            self.kept[question] = make()
        return self.kept[question]

    def decisions(self, knobs: Sequence[str], call_ids: pl.Series) -> pl.DataFrame:
        """The decisions of these knobs in force for these calls (:data:`~.load.DECISIONS`).

        Several rules ask about the same knobs and calls, so what was read for one is kept for the next.
        """
        key, asked = tuple(knobs), call_ids.alias("call_id").drop_nulls().unique().to_frame()
        if key in self.read:
            calls, decided = self.read[key]
            if asked.height <= calls.height and asked.join(calls, on="call_id", how="anti").is_empty():
                same = asked.height == calls.height
                return decided if same else decided.join(asked, on="call_id", how="semi", maintain_order="left")
        decided = load.decisions_in_force(self.con, knobs, call_ids=asked["call_id"])
        self.read[key] = asked, decided
        while len(self.read) > MAX_READ:
            del self.read[next(iter(self.read))]
        return decided

    def place(self, site_id: str | None) -> str:
        """``agent.py:14``, or words that say that the line is not known."""
        site = self.sites.get(site_id or "")
        if not site:
            return "a line that is not known"
        return f"{site['file']}:{site['line']}" if site["line"] else f"{site['file']}, {site['function']}"

    def groups(
        self,
        rows: pl.DataFrame,
        knob: str,
        *,
        hit: pl.Expr,
        subject: pl.Expr,
        unless: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
    ) -> Iterator[Group]:
        """The hits among ``rows``, by subject, value of the knob in force and the line that decided it.

        Args:
            rows: attempts or tool calls.
            knob: of :data:`~.cost.KNOBS`.
            hit: which rows the rule blames; NULL counts as no.
            subject: what the finding is about beyond the line; NULL counts as the empty text.
            unless: knobs that decide instead of ``knob`` where one of them is in force for the call, the first of
                them that is: their calls are groups of their own.
            keep: columns of what could have been hit that the rule looks at, beside its ids. Hits keep all columns.
        """
        hit = hit.fill_null(False)
        if self.excused and "attempt_id" in rows.columns:
            hit &= ~pl.col("attempt_id").is_in(list(self.excused))
        narrow = rows.select(
            "call_id", "site_id", hit=hit, subject=subject.fill_null(""), row=pl.int_range(pl.len(), dtype=pl.UInt32)
        )
        subjects = narrow.filter("hit")["subject"].unique()
        if subjects.is_empty():  # the usual case, and the lookup of decisions is the dear part
            return
        narrow = narrow.filter(pl.col("subject").is_in(subjects.to_list()))
        decisions = self.decisions([knob, *unless], narrow["call_id"])
        narrow = cost.in_force(_with_knob(narrow, knob, unless, decisions), decisions)
        kept = rows.select(name for name in rows.columns if name in {*IDS, *keep})
        for group in _grouped(narrow).iter_slices(1):
            of_hits, of_exposed = narrow[group["hits"][0]], narrow["row"].gather(group["places"][0])
            first = group.select("subject", "knob", "value", "site_id", "many").row(0, named=True)
            hits = rows[of_hits["row"]].with_columns(
                of_hits["source"],
                pl.col("site_id").alias("asked_at"),
                hit=pl.lit(True),
                **{name: pl.lit(first[name], pl.String) for name in ("subject", "knob", "value", "site_id")},
            )
            yield Group(
                subject=first["subject"],
                knob=first["knob"],
                value=first["value"],
                site_id=first["site_id"],
                hits=hits,
                exposed=kept[of_exposed],
                unless=unless if first["knob"] == knob else (),
                has_many_values=first["many"],
            )


def _grouped(rows: pl.DataFrame) -> pl.DataFrame:
    """The groups with a hit, in order of their first row: keys, ``many``, ``places`` of rows and of ``hits``."""
    keys = ["subject", "knob", "value", "site_id"]
    place = pl.int_range(pl.len(), dtype=pl.UInt32)
    groups = rows.with_columns(place=place).group_by(keys).agg(places="place", hits=pl.col("place").filter("hit"))
    with_hits = (pl.col("hits").list.len() > 0).sum()
    groups = groups.with_columns(many=with_hits.over("subject", "knob", "site_id") > MAX_VALUES)
    if groups["many"].any():
        value = pl.when("many").then(pl.lit("null")).otherwise("value")
        both = [pl.col(name).list.explode().sort() for name in ("places", "hits")]
        groups = groups.with_columns(value=value).group_by(keys).agg(pl.col("many").any(), *both)
    return groups.filter(pl.col("hits").list.len() > 0).sort(pl.col("places").list.first())


def _with_knob(rows: pl.DataFrame, knob: str, unless: tuple[str, ...], decisions: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with the ``knob`` that decides each: the first of ``unless`` that is in force, else ``knob``."""
    of_others = decisions.filter(pl.col("knob").is_in(list(unless)) & (pl.col("value") != "null"))
    if of_others.is_empty():
        return rows.with_columns(knob=pl.lit(knob))
    order = pl.Enum([*unless, knob])
    instead = (
        of_others.with_columns(pl.col("knob").cast(order)).group_by("call_id").agg(pl.col("knob").min().cast(pl.String))
    )
    return rows.join(instead, on="call_id", how="left", maintain_order="left").with_columns(
        pl.col("knob").fill_null(knob)
    )

"""What every family of proposals looks at: the store around the findings, asked once.

In: the store, its findings, the settings. Out: a :class:`Scene`: what is in force now at a place, what the calls behind
a finding asked for, how retries fared and which models answer on a host. Apart from the families because all of them
ask the same questions, and because what is in force has to be read in one way: a proposal for a value that nobody uses
any more would change something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from trimtab_analyzer import load, prospects
from trimtab_analyzer.findings import Finding
from trimtab_analyzer.load import Connection
from trimtab_tracer.settings import Settings

RECENT: Final = 20
"""How many of the last calls of a place and model must agree on a value for it to count as in force."""

LAST_WAITS: Final = 2_000
"""Waits of a place and model that count: the newest ones, for a tail is that of the present."""
WAIT_DAYS: Final = 14.0

_KNOBS: Final = ("max_retries", "timeout_s", "max_tokens", "fallback", "backoff", "hedge_delay_s")


class InForce(NamedTuple):
    """A knob's value at a place."""

    value: Any
    source: str | None
    """``code | default | human | experiment``; None where nothing was decided."""


NOT_SET: Final = InForce(None, None)
"""Of a knob that was not decided for a call."""


class Fate(NamedTuple):
    """How calls fared that were sent again after a failure of some kind."""

    answered: float
    """Of ``retried``; no whole number where kinds are weighed against each other."""
    retried: int
    extra_s: float | None
    """Mean seconds more that an answered one took."""

    @property
    def share(self) -> float | None:
        """The share that was answered."""
        return self.answered / self.retried if self.retried else None


@dataclass(frozen=True, slots=True)
class Scene:
    """One store with its findings. Use it inside the snapshot that it was made in."""

    con: Connection
    settings: Settings
    findings: tuple[Finding, ...]
    """Those that are still in force."""
    sites: dict[str, dict[str, Any]]
    fates: pl.DataFrame
    models: pl.DataFrame
    recent: pl.DataFrame
    """The last calls of each place and model, the latest first."""
    waits: pl.DataFrame
    """How long answers were waited for (:data:`~trimtab_analyzer.prospects.WAITS`)."""
    decisions: dict[tuple[str, str], InForce]
    """What was decided for those, by call and knob."""

    @classmethod
    def load(cls, con: Connection, findings: Iterable[Finding], settings: Settings) -> Scene:
        """The scene; ``con`` is inside a snapshot."""
        recent = prospects.latest_calls(con, _KNOBS, RECENT)
        decided = load.decisions_in_force(con, _KNOBS, call_ids=recent["call_id"])
        return cls(
            con=con,
            settings=settings,
            findings=tuple(f for f in findings if f.is_current),
            sites={row["site_id"]: row for row in load.sites(con).iter_rows(named=True)},
            fates=prospects.retry_fates(con),
            models=prospects.models_seen(con),
            recent=recent,
            waits=prospects.waits(con, LAST_WAITS, WAIT_DAYS),
            decisions={(i, knob): InForce(json.loads(v), source) for i, knob, v, source, _ in decided.iter_rows()},
        )

    def place(self, site_id: str) -> str:
        """``agent.py:14``."""
        return f"{self.sites[site_id]['file']}:{self.sites[site_id]['line']}"

    def of_rules(self, *rules: str) -> Iterable[Finding]:
        """The findings of these rules, in their order."""
        return (f for f in self.findings if f.rule in rules)

    def asked(self, finding: Finding) -> pl.DataFrame:
        """What the calls that the finding names asked for (:data:`~trimtab_analyzer.prospects.CALLS_ASKED`)."""
        return prospects.calls_asked(self.con, finding.evidence["calls"])

    def decided(self, finding: Finding, knob: str) -> dict[str, list[str]]:
        """The lines that decided ``knob`` for the calls that the finding names, each with those calls."""
        ids = pl.Series(finding.evidence["calls"], dtype=pl.String)
        lines: dict[str, list[str]] = {}
        for row in load.decisions_in_force(self.con, [knob], call_ids=ids).iter_rows(named=True):
            lines.setdefault(row["site_id"], []).append(row["call_id"])
        return lines

    def in_force(self, site_id: str, knob: str, model: str | None = None) -> InForce | None:
        """What holds at a place for the calls to ``model``, or for all; None where the last calls do not agree.

        A knob that was not decided in the last calls is not set: a policy's fallback that was taken back is gone.
        """
        calls = self.recent.filter(pl.col("site_id") == site_id)
        if model is not None:
            calls = calls.filter(pl.col("model") == model)
        seen = [self.decisions.get((call_id, knob), NOT_SET) for call_id in calls.head(RECENT)["call_id"]]
        return seen[0] if seen and all(each.value == seen[0].value for each in seen) else None

    def models_at(self, site_id: str) -> list[str]:
        """The models that the last calls of a place asked for."""
        return sorted(set(self.recent.filter(pl.col("site_id") == site_id)["model"].drop_nulls()))

    def fate(self, hosts: Sequence[str], classes: dict[str, int]) -> Fate:
        """How calls to ``hosts`` fared that were sent again after errors of ``classes``, weighed by their numbers."""
        seen = self.fates.filter(pl.col("host").is_in(list(hosts)) & pl.col("error_class").is_in(list(classes)))
        by_class = seen.group_by("error_class").agg(
            pl.col("retried", "answered").sum(), extra_s=(pl.col("extra_s") * pl.col("answered")).sum()
        )
        retried, answered = int(by_class["retried"].sum()), int(by_class["answered"].sum())
        if not retried:
            return Fate(0, 0, None)
        weights = [classes[name] for name in by_class["error_class"]]
        shares = [k / n for k, n in by_class.select("answered", "retried").iter_rows()]
        share = sum(w * s for w, s in zip(weights, shares, strict=True)) / sum(weights)
        return Fate(share * retried, retried, float(by_class["extra_s"].sum()) / answered if answered else None)

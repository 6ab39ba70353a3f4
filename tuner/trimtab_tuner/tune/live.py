"""The loop that learns: looks at what runs came to, moves weights, promotes and rolls back.

In: the store, the control, the settings. Out: decisions of the control, in the sidecar's name. One step per second at
most; each experiment is looked after whatever another one raises. An experiment that can't be learned from any more,
because its state can't be read or the learner fails, ends: the code's own value holds again, and one event says why.
What its runs drew and came to stays in the store, so another one can begin with it (``trimtab tune start --after``).

Whatever this process does or does not, agents draw with what was published last for as long as that policy holds, and
after that with nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from trimtab_tracer.errors import StoreError
from trimtab_tracer.prices import PriceList

from ..control import SIDECAR, ControlError, campaigns, modes
from ..control.campaigns import Event, Learned
from ..learn import Advice, Campaign, StateError
from ..reads import Row, fetch
from . import promises, specs, units, values
from .begin import begin
from .watch import Watch

if TYPE_CHECKING:
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

    from ..control import Control
    from ..recommend import Proposal

log = logging.getLogger("trimtab.tuner")

LOOK_NS: Final = 60 * 10**9
"""Pause between two looks at a store in which nothing was written: a run that raised is waited for by the clock."""
RETRY_NS: Final = 600 * 10**9
"""Pause before a proposal that could not be tried is tried again."""
WATCH_NS: Final = 10 * 10**9
"""Pause between two looks at what people accepted."""
URGENT: Final = frozenset(
    {"arm_dropped", "budget_stop", "drift", "halted", "promoted", "reset", "rollback", "share_mismatch", "aa_failed"}
)
"""Kinds of events after which agents are not to draw with the old weights any longer."""
PAYS_WITH_SUCCESS: Final = frozenset({"model", "max_tokens", "reasoning_effort", "temperature", "prompt_cache"})
"""Knobs that are turned to spend less; the others are turned so that more runs reach their goal."""


@dataclass(slots=True)
class _Running:
    campaign: Campaign
    updated_ns: int
    """Of its row when it was read or written last: whoever else wrote it is noticed by this."""
    written: tuple[int, ...] = ()
    """What the store held at the last look."""
    looked_ns: int = 0
    is_pending: bool = False
    """Other weights wait for the next publication."""


class Tuner:
    """Learns from the running experiments of one store. Not thread-safe: one loop calls :meth:`step`."""

    def __init__(
        self, store: Store, control: Control, settings: Settings, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._store = store
        self._control = control
        self._settings = settings
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._proposed: frozenset[str] | None = None
        self._refused_ns: dict[str, int] = {}
        self._written: tuple[int, ...] = ()
        self._watch = Watch(store, control)
        self._watched_ns = 0
        self._has_noticed = False

    def step(self) -> None:
        """Look once at every experiment, propose what has been shown, and begin what may be begun.

        Raises:
            Exception: the first that an experiment raised, after all of them were looked at.
        """
        self._notice_prices()
        with closing(self._store.cursor()) as con:
            rows = campaigns.running(con)
            said = modes.modes(con)
            (self._written,) = con.execute(_WRITTEN).fetchall()
        proposals, problems = [], []
        for row in rows:
            try:
                proposal = self._look(row, modes.mode_of(said, row["knob"], self._settings.tune_mode))
            except Exception as error:
                problems.append(error)
            else:
                proposals += [proposal] if proposal is not None else []
        if not problems:
            self._propose(proposals)
        still = {row["experiment_id"] for row in rows}
        self._running = {known: running for known, running in self._running.items() if known in still}
        self._begin_what_may_be_begun(said, {row["knob"] for row in rows})
        if self._clock() - self._watched_ns >= WATCH_NS:
            self._watched_ns = self._clock()
            self._watch.step(self._written)
        if problems:
            raise problems[0]

    def _notice_prices(self) -> None:
        """Once per start: prices are read when a sidecar starts."""
        if self._has_noticed:
            return
        with closing(self._store.cursor()) as con:
            rows = campaigns.running(con)
        prices = PriceList(self._settings.prices)
        for row in rows:
            try:
                values.notice_prices(self._control, self._store, row, prices)
            except ControlError as error:  # its state can't be read, which the look at it says
                log.info("experiment %s: its prices could not be looked at: %s", row["experiment_id"], error)
        self._has_noticed = True

    # --- one experiment -------------------------------------------------------------------------------------------

    def _look(self, row: Row, mode: str) -> Proposal | None:
        """Learn what is new; the proposal that a person should see, if something was shown."""
        if mode == "observe":
            self._end(row, "ended", f"{row['knob']} is only observed")
            return None
        try:
            return self._learn(row, self._read(row), is_auto=mode == "auto")
        except StateError as error:
            told = f"what it had learned can't be read ({error}); its runs are still there"
            self._end(row, "unreadable", told)
        except (ControlError, StoreError, duckdb.Error, OSError):
            self._running.pop(row["experiment_id"], None)
            raise  # the store or the disk: the same runs are read again at the next look
        except Exception as error:
            log.exception("experiment %s", row["experiment_id"])
            self._end(row, "halted", f"learning from it failed ({type(error).__name__}); the log says where")
        return None

    def _read(self, row: Row) -> _Running:
        known = self._running.get(row["experiment_id"])
        if known is None or known.updated_ns != row["updated_ns"]:
            spec = specs.campaign_spec(row["experiment_id"], row["arms"], row["spec"])
            known = _Running(Campaign.of_state(spec, row["state"]), row["updated_ns"])
            self._running[row["experiment_id"]] = known
        return known

    def _learn(self, row: Row, running: _Running, *, is_auto: bool) -> Proposal | None:
        now_ns = self._clock()
        campaign = running.campaign
        in_force = self._control.published().document["rules"]
        is_due = now_ns - row["published_ns"] >= self._settings.tune_publish_interval_s * 1e9
        is_waiting = running.is_pending and is_due
        if running.written == self._written and now_ns - running.looked_ns < LOOK_NS and not is_waiting:
            is_moved = campaigns.differ(row, row["weights"], in_force) and not self._control.published().is_frozen
            if not is_moved:
                return self._promise(row, row["verdict"], is_auto=is_auto)
        running.written, running.looked_ns = self._written, now_ns
        with closing(self._store.cursor()) as con:
            fresh = units.news(
                con,
                row,
                now_ns=now_ns,
                wait_s=self._settings.tune_outcome_wait_s,
                context_key=row["spec"]["context_key"],
            )
        for unit in fresh:
            if unit.seen is not None:
                campaign.observe(unit.seen)
        if len(fresh) == units.MOST:
            running.looked_ns = 0  # there are more of them
        advice = campaign.advance(now_ns)
        events = list(advice.events)
        if is_auto and advice.ready is not None and advice.phase == "exploring":
            campaign.promote(advice.ready, now_ns)
            advice = campaign.advance(now_ns)
            events += advice.events
        told = [specs.event_of(event) for event in events]
        learned = self._learned(row, campaign, advice, told, fresh, is_due=is_due)
        running.is_pending = learned.weights != row["weights"] and not learned.publishes
        if fresh or events or learned.publishes or learned.is_over:
            del self._running[row["experiment_id"]]  # until it is stored: what fails on the way is read again
            if not self._control.record_learning(row["experiment_id"], learned):
                return None  # somebody changed its values: the next look is at other ones
            running.updated_ns = self._stored_ns(row["experiment_id"])
            self._running[row["experiment_id"]] = running
        return self._promise(row, learned.verdict, is_auto=is_auto)

    def _learned(
        self,
        row: Row,
        campaign: Campaign,
        advice: Advice,
        events: list[Event],
        fresh: list[units.Unit],
        *,
        is_due: bool,
    ) -> Learned:
        published = self._control.published()
        weights = specs.weights_of(advice)
        is_urgent = any(event.kind in URGENT for event in events)
        is_moved = campaigns.differ(row, weights, published.document["rules"]) and not published.is_frozen
        return Learned(
            state=campaign.state(),
            verdict=specs.verdict_json(advice),
            weights=weights,
            phase=advice.phase,
            promoted_arm=advice.leader if advice.phase == "promoted" else None,
            units=[(unit.run_id, unit.site_id, unit.has_quality) for unit in fresh],
            events=events,
            publishes=is_moved and (is_due or is_urgent),
            is_over=not any(v.in_set for arm, v in advice.verdicts.items() if arm != campaigns.INCUMBENT),
            seen_ns=row["updated_ns"],
        )

    def _stored_ns(self, experiment_id: str) -> int:
        with closing(self._store.cursor()) as con:
            found = fetch(con, "SELECT updated_ns FROM campaigns WHERE experiment_id = $id", id=experiment_id)
        return int(found[0]["updated_ns"])

    def _end(self, row: Row, kind: str, told: str) -> None:
        self._running.pop(row["experiment_id"], None)
        ended = f"Experiment on {row['knob']} ended: {told}. The code's own value holds. To go on with what its runs"
        ended += f" came to: trimtab tune start {row['knob']} --after {row['experiment_id']}"
        self._control.end_campaign(row["experiment_id"], Event(kind, None, ended))

    # --- what is shown, and what may be begun ------------------------------------------------------------------------

    def _promise(self, row: Row, verdict: dict[str, object], *, is_auto: bool) -> Proposal | None:
        """What a person should decide on; nothing where the sidecar promotes by itself."""
        if is_auto or not verdict or verdict["ready"] is None:
            return None
        with closing(self._store.cursor()) as con:
            return promises.promise(con, row, verdict)

    def _propose(self, proposals: list[Proposal]) -> None:
        """Tell the control when what is shown is other than at the last step."""
        shown = frozenset(repr(proposal) for proposal in proposals)
        if shown != self._proposed:
            self._control.propose(proposals, ("effect",))
            self._proposed = shown

    def _begin_what_may_be_begun(self, said: list[Row], busy: set[str]) -> None:
        """In mode ``auto``: try what the analysis proposes, one value per knob at a time, and each only once."""
        with closing(self._store.cursor()) as con:
            waiting = fetch(con, _WAITING)
        for row in waiting:
            knob = row["knob"]
            if knob in busy or modes.mode_of(said, knob, self._settings.tune_mode) != "auto":
                continue
            if self._clock() - self._refused_ns.get(row["recommendation_id"], 0) < RETRY_NS:
                continue
            try:
                begin(
                    self._control,
                    knob,
                    row["match"],
                    [row["to_value"]],
                    _goal(knob, self._settings),
                    actor=SIDECAR,
                    why=f"{knob} is in mode auto, and recommendation {row['recommendation_id']} asks for it",
                    is_auto=True,
                )
            except ControlError as error:
                self._refused_ns[row["recommendation_id"]] = self._clock()
                log.info("recommendation %s can't be tried now: %s", row["recommendation_id"], error)
            else:
                busy.add(knob)


_WRITTEN: Final = """
SELECT
    (SELECT count(*) FROM decisions),
    (SELECT count(*) FROM outcomes),
    (SELECT count(*) FROM runs WHERE ended_ns IS NOT NULL),
    (SELECT count(*) FROM calls)
"""
"""Tells whether anything was written that could be learned from."""
_WAITING: Final = """
SELECT r.recommendation_id, r.knob, r.match, r.to_value
FROM recommendations AS r
WHERE r.status = 'proposed' AND r.learned_by = 'rule' AND NOT EXISTS (
    FROM experiments AS e
    WHERE e.knob = r.knob
      AND e.match::VARCHAR = r.match::VARCHAR
      AND list_contains(list_transform(json_extract(e.arms, '$[*].value'), lambda v: v::VARCHAR), r.to_value::VARCHAR)
)
ORDER BY r.proposed_ns, r.recommendation_id
"""
"""Proposals that were never tried."""


FASTER: Final = frozenset({"hedge_delay_s"})
"""Knobs that are turned to wait less, at the same success."""


def _goal(knob: str, settings: Settings) -> dict[str, object]:
    if knob in PAYS_WITH_SUCCESS:
        return {"objective": "cheapest"}
    if knob in FASTER:
        return {"objective": "fastest", "usd_per_day": settings.steer_max_usd_per_day}
    return {"objective": "best_within", "usd_per_day": settings.steer_max_usd_per_day}

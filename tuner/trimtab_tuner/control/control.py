"""The face of the control: every decision about what agents are told to do, one method each.

In: who decides, what they saw, and why. Out: the row or the policy as it is afterwards. Each decision is one
transaction of the store; the file is written after it was committed and before the method returns. It is thin: what a
decision means stands in :mod:`.rules`, :mod:`.recommendations`, :mod:`.experiments` and :mod:`.outcomes`, and how it
reaches the agents in :mod:`.publish`. A control may be used from any thread, and several may share one store.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

from ..reads import Row
from . import audit, campaigns, experiments, modes, observed, outcomes, recommendations, rules, shadows
from .actor import SIDECAR, Actor
from .change import Change, newest, newest_version
from .document import Json, terms
from .errors import Conflict, NotThere, Refused, Unfinished
from .outcomes import Recorded
from .publish import Published, Publisher, is_left_frozen

if TYPE_CHECKING:
    from ..recommend import Proposal

log = logging.getLogger("trimtab.control")

UNSET: Final[Any] = object()
"""A value that was not given; None is one that may be."""
INTERRUPTED = "the policy file said frozen when the sidecar ended, and the store did not yet"
"""Reason of a freeze that was stopped between file and store, and is completed at the next start."""
FROZEN_BY_HAND = "the policy file was found frozen: somebody stopped steering while the sidecar did not answer"
"""Reason of a freeze that was written into the file past this process."""
MAX_WAIT_S = 60.0
"""Longest that one call waits for news."""


class Control:
    """Decides about the policy of one store. Needs the store open for writing."""

    def __init__(self, store: Store, settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> None:
        """Look at the store; a new one gets its first policy, which has no rules. The file is written by the first
        decision or :meth:`refresh`.

        Args:
            store: Open for writing.
            settings: Where the policy file lies, how long it holds, and the caps.
            clock: Nanoseconds since the epoch.
        """
        self._store = store
        self._settings = settings
        self._clock = clock
        self._terms = terms(settings)
        self._is_closed = False
        self._unstored: deque[tuple[Actor, str | None, str]] = deque()
        with store.transaction() as con:
            document = Change(con, SIDECAR, self._terms, now_ns=clock()).document
            written = audit.last(con)
        self._publisher = Publisher.of(store, settings, document, clock())
        self._publisher.announce(written["audit_id"] if written else 0)
        if not document["frozen"] and is_left_frozen(settings.policy_path, document["version"], clock()):
            self._freeze(SIDECAR, INTERRUPTED, "freeze")

    @property
    def settings(self) -> Settings:
        """Those it decides by."""
        return self._settings

    def now_ns(self) -> int:
        """The time by its clock, in nanoseconds since the epoch."""
        return self._clock()

    # --- what agents are told -------------------------------------------------------------------------------------

    def published(self) -> Published:
        """What agents are told now. Never waits, whatever is being decided."""
        return self._publisher.current

    def refresh(self) -> None:
        """Issue the policy again when a quarter of its lifetime is over, and mend file and store where they lag.

        Raises:
            OSError: the file can't be written.
            Unfinished: a freeze that is in force still can't be stored.
        """
        if self._publisher.was_frozen_by_hand(self._clock()):
            self._freeze(SIDECAR, FROZEN_BY_HAND, "freeze")
        self._publisher.refresh(self._clock())
        self._store_halts()
        with closing(self._store.cursor()) as con:
            if newest_version(con) > self.published().version:  # committed by someone who was killed before publishing
                self._publisher.show(newest(con), self._clock())

    def wait(self, after: int | str, timeout_s: float) -> Published:
        """What agents are told, as soon as it is news to someone who knows ``after``; or after ``timeout_s``.

        Args:
            after: A version, or an ETag: to that one the same version issued again is news too.
            timeout_s: At most :data:`MAX_WAIT_S`.
        """

        def is_news() -> bool:
            current = self._publisher.current
            return current.etag != after if isinstance(after, str) else current.version > after

        with self._publisher.bell:
            self._publisher.bell.wait_for(lambda: self._is_closed or is_news(), min(timeout_s, MAX_WAIT_S))
        return self.published()

    def events(self, after: int, wait_s: float = 0.0) -> list[Row]:
        """Rows of the audit behind id ``after``, oldest first; waits up to ``wait_s`` for the first one."""
        with self._publisher.bell:
            self._publisher.bell.wait_for(
                lambda: self._is_closed or self._publisher.last_audit_id > after, min(wait_s, MAX_WAIT_S)
            )
        with closing(self._store.cursor()) as con:
            return audit.after(con, after)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every decision and issue, from any thread; it must be quick and decide nothing."""
        self._publisher.listen(listener)

    def close(self) -> None:
        """Let everyone go who waits. The file stays: the last policy holds for its lifetime."""
        self._is_closed = True
        self._publisher.ring()

    # --- recommendations ------------------------------------------------------------------------------------------

    def accept(
        self, recommendation_id: str, *, version: int, actor: Actor, why: str | None = None, value: Any = UNSET
    ) -> Row:
        """Put a recommendation into the policy, with ``value`` in place of the proposed one if given.

        This and the three below take the ``version`` of the recommendation that the actor saw, give the row as it is
        then, and change nothing when they raise.

        Raises:
            NotThere: there is no such recommendation.
            Conflict: someone decided in the meantime, or an experiment is in the way.
            Refused: the value can't be used.
            Unfinished: it is decided, but the policy file can't be written just now.
        """
        with self._deciding(actor, why) as change:
            row = recommendations.decidable(change, recommendation_id, version, "accept")
            return rules.accept(change, row, row["to_value"] if value is UNSET else value)

    def reject(self, recommendation_id: str, *, version: int, actor: Actor, why: str | None = None) -> Row:
        """Turn a recommendation down; it is not proposed again."""
        with self._deciding(actor, why) as change:
            row = recommendations.decidable(change, recommendation_id, version, "reject")
            return recommendations.decide(change, row, "reject", "rejected", "proposed", "rejected")

    def roll_back(self, recommendation_id: str, *, version: int, actor: Actor, why: str | None = None) -> Row:
        """Take an accepted recommendation out of the policy: the code's own value holds again."""
        with self._deciding(actor, why) as change:
            return rules.roll_back(change, recommendations.decidable(change, recommendation_id, version, "roll_back"))

    def promote(self, recommendation_id: str, *, version: int, actor: Actor, why: str | None = None) -> Row:
        """Say that an active recommendation is proven; its rule stays."""
        with self._deciding(actor, why) as change:
            row = recommendations.decidable(change, recommendation_id, version, "promote")
            return recommendations.decide(change, row, "promote", "promoted", "active", "promoted")

    def propose(self, proposals: Sequence[Proposal], learned_by: Collection[str] = ("rule",)) -> None:
        """Bring the undecided recommendations that were learned in these ways up to date. Knobs that are only observed
        get none."""
        # A file that can't be written is :meth:`refresh`'s to complain about; the proposals are stored.
        with suppress(Unfinished), self._deciding(SIDECAR) as change:
            said = modes.modes(change.con)
            wanted = [p for p in proposals if modes.mode_of(said, p.knob, self._settings.tune_mode) != "observe"]
            recommendations.propose(change, wanted, learned_by)

    def ask_for(self, finding_id: str, *, actor: Actor, why: str | None = None) -> list[Row]:
        """Make a finding a recommendation, by the same rules as an analysis does.

        Raises:
            NotThere: there is no such open finding.
            Refused: no rule proposes anything for it, or its knob is only observed.
            Conflict: the change was rolled back before.
        """
        from ..recommend.asked import NOTHING, proposals_for  # brings polars

        with closing(self._store.cursor()) as con:
            try:
                proposals = proposals_for(con, finding_id, self._settings)
            except LookupError:
                raise NotThere.named("open finding", finding_id, "`trimtab findings`") from None
        with self._deciding(actor, why) as change:
            said = modes.modes(change.con)
            wanted = [p for p in proposals if modes.mode_of(said, p.knob, self._settings.tune_mode) != "observe"]
            if not wanted:
                observed_only = f"The knob {proposals[0].knob} is only observed; `trimtab tune mode` changes that."
                raise Refused(observed_only if proposals else NOTHING)
            return recommendations.ask(change, wanted)

    def note_obeyed(self) -> None:
        """Accepted recommendations that a call has obeyed become active."""
        with closing(self._store.cursor()) as con:
            obeyed = observed.obeyed(con)
        if obeyed:
            with suppress(Unfinished), self._deciding(SIDECAR) as change:
                recommendations.note_obeyed(change, obeyed)

    # --- the policy itself ----------------------------------------------------------------------------------------

    def put_rule(self, rule: Json, *, seen: int, actor: Actor, why: str | None = None) -> Published:
        """Put a rule by hand: instead of the one with its id, or of one on exactly the same calls.

        This and the others below take the version of the policy that the actor ``seen``, give the policy as it is then,
        and raise like :meth:`accept`.
        """
        with self._deciding(actor, why) as change:
            change.check_seen(seen)
            rules.put(change, rule)
        return self.published()

    def remove_rule(self, rule_id: str, *, seen: int, actor: Actor, why: str | None = None) -> Published:
        """Take a rule out; the recommendation or experiment it belongs to ends with it."""
        with self._deciding(actor, why) as change:
            change.check_seen(seen)
            rules.remove(change, rule_id)
        return self.published()

    def roll_back_policy(self, to: int | None = None, *, seen: int, actor: Actor, why: str | None = None) -> Published:
        """Make a new version with the rules of version ``to``; by default of the newest one that had others."""
        with self._deciding(actor, why) as change:
            change.check_seen(seen)
            rules.roll_back_policy(change, to)
        return self.published()

    def start_experiment(
        self, knob: str, match: Json, arms: list[Json], *, seen: int, actor: Actor, why: str | None = None
    ) -> Row:
        """Compare values of a knob at fixed shares; one experiment runs per knob. Gives its row."""
        with self._deciding(actor, why) as change:
            change.check_seen(seen)
            return experiments.start(change, knob, match, arms)

    def stop_experiment(self, experiment_id: str, *, version: int, actor: Actor, why: str | None = None) -> Row:
        """End an experiment that the actor saw at ``version``. Gives its row."""
        with self._deciding(actor, why) as change:
            return experiments.stop(change, experiment_id, version)

    # --- learning -------------------------------------------------------------------------------------------------

    def set_mode(self, knob: str, mode: str | None, *, seen: int, actor: Actor, why: str | None = None) -> None:
        """Say what trimtab may do about a knob (``*``: all) without being asked; None: what holds for all.

        Raises:
            Conflict: the policy is not the one that the actor ``seen``.
            Refused: there is no such mode or name.
        """
        with self._deciding(actor, why) as change:
            change.check_seen(seen)
            modes.set_mode(change, knob, mode, self._settings.tune_mode)

    def start_campaign(
        self,
        experiment_id: str,
        knob: str,
        match: Json,
        arms: list[Json],
        begun: campaigns.Begun,
        *,
        actor: Actor,
        seen: int | None = None,
        why: str | None = None,
    ) -> Row:
        """Begin an experiment whose weights are learned (:func:`.campaigns.start`). Gives its row.

        Raises:
            Conflict: the policy is not the one that the actor ``seen``, or something is in the way.
            Refused: knob, match or arms can't be used, or the knob is only to be observed.
        """
        with self._deciding(actor, why) as change:
            if seen is not None:
                change.check_seen(seen)
            if modes.mode_of(modes.modes(change.con), knob, self._settings.tune_mode) == "observe":
                raise Refused(f"{knob} is only observed; `trimtab tune mode {knob} recommend` lets it be tried.")
            return campaigns.start(change, experiment_id, knob, match, arms, begun)

    def revise_campaign(
        self,
        experiment_id: str,
        make: Callable[[Row], campaigns.Revised],
        *,
        version: int,
        actor: Actor,
        why: str | None = None,
    ) -> Row:
        """Change the values of a running experiment, or their prices (:func:`.campaigns.revise`). Gives its row."""
        with self._deciding(actor, why) as change:
            return campaigns.revise(change, experiment_id, version, make)

    def end_campaign(self, experiment_id: str, event: campaigns.Event) -> None:
        """Take a campaign out that can't go on: the code's own value holds again."""
        with suppress(Unfinished), self._deciding(SIDECAR) as change:
            campaigns.end(change, experiment_id, event)

    def record_learning(self, experiment_id: str, learned: campaigns.Learned) -> bool:
        """Keep what the sidecar has learned of a campaign, and publish its weights where that is asked for. Whether it
        was kept: not where somebody changed the campaign in the meantime."""
        kept = True
        with suppress(Unfinished), self._deciding(SIDECAR) as change:
            kept = campaigns.record(change, experiment_id, learned)
        return kept

    def record_shadow(self, pairs: Sequence[Row], *, actor: Actor) -> None:
        """Keep pairs of answers to the same request."""
        with self._deciding(actor) as change:
            shadows.record(change, pairs)

    # --- stop and go ----------------------------------------------------------------------------------------------

    def freeze(self, actor: Actor, why: str | None = None) -> Published:
        """Stop all steering now. The file says so before the store is asked, which may be busy for a while.

        Raises:
            Refused: the actor or the reason can't be used.
            Unfinished: it is stopped, but that could not be stored, or the file could not be written.
        """
        self._freeze(actor, why, "freeze")
        return self.published()

    def unfreeze(self, actor: Actor, why: str | None = None, *, seen: int) -> Published:
        """Let steering go on with the rules that are in the policy."""
        self._store_halts()
        with self._deciding(actor, why) as change:
            change.check_seen(seen)
            if not change.is_frozen:
                raise Conflict.not_in_state("Steering is not frozen", "there is nothing to let go on.")
            change.publish("unfrozen", is_frozen=False)
            change.audit("unfreeze", "policy", str(change.version), before=True, after=False)
        return self.published()

    def check_spend(self) -> None:
        """Freeze when what steered calls cost in 24 hours has passed the cap of the settings."""
        current = self.published()
        if current.is_frozen or not current.document["rules"]:
            return
        with closing(self._store.cursor()) as con:
            spent_usd = observed.steered_cost_musd(con, self._clock()) / 1e6
        cap_usd = self._settings.steer_max_usd_per_day
        if spent_usd > cap_usd:
            told = f"steered calls cost {spent_usd:.4g} USD, steer_max_usd_per_day is {cap_usd:.4g}"
            log.warning("%s; all steering is frozen, and `trimtab unfreeze` lets it go on.", told)
            self._freeze(SIDECAR, told, "spend_cap")

    # --- outcomes -------------------------------------------------------------------------------------------------

    def record_outcome(
        self,
        run_id: str,
        *,
        success: bool | None = None,
        score: float | None = None,
        source: str = "explicit",
        comment: str | None = None,
        outcome_id: str | None = None,
        ts_ns: int | None = None,
        actor: Actor,
    ) -> Recorded:
        """Keep what came of a run, however long ago it ended; the same again with one ``outcome_id`` changes nothing.

        Raises:
            NotThere: there is no such run.
            Refused: it says nothing, or something that can't be kept.
            Conflict: another outcome has this id.
        """
        row = {"outcome_id": outcome_id, "run_id": run_id, "success": success, "score": score}
        with self._deciding(actor) as change:
            return outcomes.record(change, row | {"source": source, "comment": comment}, ts_ns)

    # --- how a decision is taken ----------------------------------------------------------------------------------

    @contextmanager
    def _deciding(self, actor: Actor, why: str | None = None, *, ends_halt: bool = False) -> Iterator[Change]:
        """One transaction, and what it made of the policy published when it is committed."""
        with self._store.transaction() as con:
            change = Change(con, actor, self._terms, now_ns=self._clock(), why=why)
            yield change
        try:
            self._publisher.show(change.document, self._clock(), ends_halt=ends_halt)
        except OSError as error:
            raise Unfinished.unpublished(self._publisher.path, error) from error
        finally:
            self._publisher.announce(change.audit_id)

    def _freeze(self, actor: Actor, why: str | None, action: str) -> None:
        actor.check()
        reason = audit.reason(why)
        try:
            self._publisher.halt(self._clock())
        except OSError as error:
            log.error("%s could not be written to freeze: %s; it is tried again.", self._publisher.path, error)
        self._store_halt(actor, reason, action)

    def _store_halt(self, actor: Actor, why: str | None, action: str) -> None:
        """Store a freeze that is published already. Until that is done it is in force all the same."""
        try:
            with self._deciding(actor, why, ends_halt=True) as change:
                was_frozen = change.is_frozen
                if not was_frozen:
                    change.publish("frozen", is_frozen=True)
                # Also who pulls the brake a second time is to be found in the audit, with their reason.
                change.audit(action, "policy", str(change.version), before=was_frozen, after=True)
        except Unfinished:
            raise
        except Exception as error:
            self._unstored.append((actor, why, action))
            raise Unfinished.unstored(self._store.path, error) from error

    def _store_halts(self) -> None:
        """Store what could not be stored when it was made."""
        with suppress(IndexError):
            while True:
                self._store_halt(*self._unstored.popleft())

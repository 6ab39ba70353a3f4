"""One learned experiment: what it was told, what it would publish now, and when a challenger has earned its place.

In: a :class:`~.advice.CampaignSpec`, observations, times. Out: :class:`~.advice.Advice`. The learner says which arm is
likely the best, the evidence what is proven, the gates what follows, and this module in which order; it computes
nothing itself. Whatever is wrong with the readings, the incumbent is what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Self

import numpy as np

from .advice import Advice, Arm, CampaignSpec, Event, EventKind, Phase
from .allotment import explore, lead
from .cells import Floats
from .drift import Drift
from .evidence import Evidence
from .gate import Compared, Rollback, deserves, hopeless
from .learner import Json
from .observation import Observation, refusal
from .pacer import Pacer
from .selfcheck import SelfCheck
from .spending import Spending
from .states import Reader, StateError
from .thompson import Thompson

SCHEMA: Final = 1
REFUSED_SHARE: Final = 0.2
"""Part of the observations that can't be learned from, above which the readings are broken and the campaign halts."""
REFUSED_LEAST: Final = 20
"""Refused observations before that is judged."""
PHASES: Final = ("exploring", "promoted", "halted")


class Campaign:
    """A state machine: ``exploring`` → (:meth:`promote`) ``promoted`` → (gate, or :meth:`roll_back`) ``exploring``.

    ``halted`` is the incumbent alone, from a state that could not be read or readings that are broken, until
    :meth:`resume`; what is observed meanwhile is learned. Nothing here reads a clock, a store or the network; not
    thread-safe.
    """

    def __init__(self, spec: CampaignSpec) -> None:
        self.spec = spec
        self._arms = {arm.key: arm for arm in spec.arms}
        self._dropped: dict[str, str] = {}
        """Arms that are not drawn, and why."""
        self._promoted: str | None = None
        self._halted: str | None = None
        self._rollback: Rollback | None = None
        keys = list(self._arms)
        self._learner = self._new_learner(keys)
        self._evidence = Evidence(keys, spec.incumbent)
        self._drift = {key: Drift() for key in keys}
        self._check = SelfCheck(keys)
        self._aa: str = "waiting" if spec.self_check else "passed"
        self._mismatch = False
        self._paused = False
        self._spending = Spending()
        budget = spec.objective.usd_per_day
        self._pacer = Pacer(budget) if budget is not None else None
        self._told: set[str] = set()
        self._events: list[Event] = []
        self._observed = self._refused = 0
        self._last_ns = 0
        self._weights: dict[str | None, dict[str, float]] = {None: {spec.incumbent: 1.0}}
        self._open: dict[str | None, Floats] = {}
        self._publish(self._weights)

    def _new_learner(self, keys: list[str]) -> Thompson:
        prices = {key: arm.price_usd for key, arm in self._arms.items() if arm.price_usd is not None and key in keys}
        return Thompson(
            keys,
            self.spec.objective,
            incumbent=self.spec.incumbent,
            contexts=self.spec.contexts,
            prices=prices,
            seed=self.spec.seed,
        )

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return "halted" if self._halted is not None else "promoted" if self._promoted else "exploring"

    @property
    def leader(self) -> str:
        """The arm that most units get."""
        return self._promoted if self._promoted and self._halted is None else self.spec.incumbent

    @property
    def arms(self) -> list[Arm]:
        """All arms, dropped ones included, in the order in which they were added."""
        return list(self._arms.values())

    @property
    def challengers(self) -> list[str]:
        """Keys of the arms that may be drawn beside the incumbent."""
        return self._challengers()

    # What is told to it -----------------------------------------------------------------------------------------

    def observe(self, observation: Observation) -> None:
        """Take in one unit. Never raises for what is in it: what can't be learned from is counted and told once."""
        self._observed += 1
        why = refusal(observation)
        if why is None and observation.value not in self._arms:
            why = f"there is no arm {observation.value!r}; there are {list(self._arms)}"
        if why is not None:
            self._refuse(why, observation.at_ns)
            return
        self._on_clock(observation.at_ns)
        arm = observation.value
        weights = self._open.get(observation.context, self._open[None])
        self._learner.learn(observation)
        self._evidence.add(observation, weights)
        if not observation.late:
            self._check.drew(self._evidence.arms.index(arm), observation.propensity, weights)
        if arm == self.spec.incumbent:
            self._check.incumbent(observation.unit, observation.quality, observation.cost_usd)
        if observation.cost_usd is not None and observation.is_first:
            if arm != self.spec.incumbent and arm != self._promoted:
                self._spending.add(observation.cost_usd, self._last_ns)
            if self._pacer is not None:
                self._pacer.spent(observation.cost_usd, self._last_ns)
        if observation.quality is not None:
            self._watch(arm, observation.quality)

    def warm(self, pairs: Iterable[Mapping[str, Observation]]) -> None:
        """Take in tasks that were answered by several arms (shadow runs): they inform the learner, never the gates.

        Args:
            pairs: per task the observation of each arm; propensities are not looked at.
        """
        for answers in pairs:
            for arm, observation in answers.items():
                given = observation._replace(value=arm)
                if (why := refusal(given)) is not None:
                    self._refuse(why, observation.at_ns)
                else:
                    self._learner.learn(given)

    def _refuse(self, why: str, at_ns: int) -> None:
        """Count an observation that can't be learned from."""
        self._refused += 1
        figures = {"refused": float(self._refused), "observed": float(self._observed)}
        self._once("observation_refused", None, f"An observation was not learned from: {why}.", figures, at_ns)
        broken = self._refused >= REFUSED_LEAST and self._refused > REFUSED_SHARE * self._observed
        if broken and self._halted is None:
            self.halt(f"{self._refused} of {self._observed} observations can't be learned from; the last: {why}", at_ns)

    def _on_clock(self, at_ns: int) -> None:
        """Time goes on; where it went back it stands still until it is past where it was."""
        if at_ns < self._last_ns - 60 * 10**9:
            seconds = (self._last_ns - at_ns) / 1e9
            text = f"A clock went back by {seconds:.0f} s; times before the latest one seen count as that one."
            self._once("clock_back", None, text, {"seconds": seconds}, self._last_ns)
        self._last_ns = max(self._last_ns, at_ns)

    def _watch(self, arm: str, quality: float) -> None:
        """Look at a reward for a fall: of the promoted arm below its promise, of any arm below what is usual for it."""
        if arm == self._promoted and self._rollback is not None and self._rollback.must(quality):
            self.roll_back(self._last_ns, f"its quality fell below {self._rollback.least:.3f}")
            return
        if not self._drift[arm].fell(quality) or arm in self._dropped:
            return
        self._evidence.fell(arm)
        self._learner.reset(arm)
        text = f"The quality of {arm!r} fell below what was usual for it; what was learned of it is forgotten."
        self._tell("drift", arm, text, {})
        if arm == self.spec.incumbent:
            for other in [key for key, why in self._dropped.items() if why == "hopeless"]:
                self._readmit(other, f"{other!r} is tried again, because the incumbent changed.")

    # What it says -----------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> Advice:
        """Look at what is known: move gates and weights, and say so. To be called at each publication."""
        self._on_clock(now_ns)
        self._look_at_itself()
        ready = self._look_at_arms() if self.phase == "exploring" else []
        if self.phase == "promoted":
            self._look_at_leader()
        self._look_at_budget()
        self._publish(self._weigh())
        alpha = self.spec.alpha
        first = sorted(self._arms, key=lambda key: key != self.spec.incumbent)
        verdicts = {
            arm: self._evidence.verdict(arm, alpha, in_set=arm not in self._dropped, ready=arm in ready)
            for arm in first
        }
        events, self._events = self._events, []
        weights = {context: dict(row) for context, row in self._weights.items()}
        return Advice(weights, events, verdicts, self.phase, self.leader, self._best(ready))

    def _look_at_itself(self) -> None:
        """The A/A check and the shares of the draws."""
        if self.spec.self_check and self._aa != "failed" and (found := self._check.aa()) is not None:
            differs = [name for name in ("quality", "cost_usd") if _excludes_zero(found, name)]
            if differs:
                self._aa = "failed"
                text = (
                    f"The incumbent differs from itself in {' and '.join(differs)} between two halves of its units "
                    "by a hash. Outcomes or costs reach the wrong runs; nothing is promoted before that is mended."
                )
                self._tell("aa_failed", self.spec.incumbent, text, found)
            elif self._aa == "waiting":
                self._aa = "passed"
                self._tell("aa_passed", self.spec.incumbent, "The incumbent does not differ from itself.", found)
        for column in self._check.mismatched():
            arm = self._evidence.arms[column]
            self._mismatch = True
            text = (
                f"{arm!r} is seen more or less often than it was drawn; units get lost, or draws are not as logged. "
                "Nothing is promoted before that is mended."
            )
            self._once("share_mismatch", arm, text, {"units": float(self._check.hits[column])}, self._last_ns)

    def _challengers(self) -> list[str]:
        return [key for key in self._arms if key != self.spec.incumbent and key not in self._dropped]

    def _look_at_arms(self) -> list[str]:
        """Drop challengers that have lost their chance; which ones may be promoted."""
        objective, ready = self.spec.objective, []
        rivals = max(len(self._arms) - 1, 1)
        for arm in self._challengers():
            if hopeless(objective, given_up := self._evidence.giving_up(arm)):
                self._drop(arm, "hopeless", f"{arm!r} can no longer be expected to earn its place", _figures(given_up))
                continue
            found = self._declared(arm, self._evidence.compared(arm, self.spec.alpha / rivals))
            earned = deserves(objective, found) and self._evidence.is_enough(arm)
            if earned and self._aa == "passed" and not self._mismatch and self._halted is None:
                ready.append(arm)
                text = f"{arm!r} has earned its place: what it had to prove against {self.spec.incumbent!r} is proven."
                self._once("promotion_ready", arm, text, _figures(found), self._last_ns)
        return ready

    def _declared(self, arm: str, found: Compared) -> Compared:
        """With the difference of declared prices in place of the measured one, where both are declared."""
        own, base = self._arms[arm].price_usd, self._arms[self.spec.incumbent].price_usd
        if own is None or base is None:
            return found
        return found._replace(cost=found.cost._replace(low=own - base, high=own - base))

    def _best(self, ready: list[str]) -> str | None:
        """Of several that may be promoted, the one that the learner would give most."""
        shares = self._learner.weights() if ready else {}
        return max(ready, key=lambda arm: shares.get(arm, 0.0)) if ready else None

    def _look_at_leader(self) -> None:
        """Whether the comparison that goes on says that the promotion was wrong."""
        assert self._promoted is not None
        found = self._evidence.giving_up(self._promoted)
        if found.quality.high < -self.spec.objective.margin:
            self.roll_back(
                self._last_ns, f"its quality is proven to be lower by more than {self.spec.objective.margin:g}"
            )

    def _look_at_budget(self) -> None:
        """Pause exploring above the cap, go on below it."""
        cap = self.spec.usd_per_day
        if cap is None:
            return
        spent = self._spending.last_day_usd(self._last_ns)
        if (spent >= cap) == self._paused:
            return
        self._paused = spent >= cap
        figures = {"usd": spent, "cap_usd": cap}
        if self._paused:
            text = f"Challengers cost {spent:.4f} USD in 24 hours, the cap is {cap:.4f}; exploring pauses."
            self._tell("budget_stop", None, text, figures)
        else:
            text = f"Challengers cost {spent:.4f} USD in 24 hours, less than the cap of {cap:.4f}; exploring goes on."
            self._tell("budget_resumed", None, text, figures)

    def _weigh(self) -> dict[str | None, dict[str, float]]:
        """Weights now."""
        incumbent = self.spec.incumbent
        if self.phase == "promoted" and self._promoted is not None:
            return {None: lead(self._promoted, incumbent, self.spec.holdout)}
        challengers = self._challengers()
        if self.phase == "halted" or self._paused or not challengers:
            return {None: {incumbent: 1.0}}
        if self._pacer is not None:
            self._learner.price_of_a_dollar = self._pacer.price_of_a_dollar
        lowest = None
        if self.spec.ramp and self._aa == "passed" and not self._mismatch:
            lowest = {arm: self._evidence.likely_least(arm) for arm in challengers}
        return {
            context: explore(
                {arm: row.get(arm, 0.0) for arm in (incumbent, *challengers)}, incumbent, self.spec.exploration, lowest
            )
            for context, row in self._learner.table().items()
        }

    def _publish(self, weights: dict[str | None, dict[str, float]]) -> None:
        """Remember what is published: observations are weighed with it."""
        self._weights = weights
        self._open = {
            context: np.array([row.get(arm, 0.0) for arm in self._evidence.arms]) for context, row in weights.items()
        }

    # What others decide -----------------------------------------------------------------------------------------

    def promote(self, arm: str, now_ns: int) -> None:
        """Make a challenger the leader; the incumbent keeps the holdout. ValueError for an unknown or dropped arm."""
        if arm not in self._challengers():
            raise ValueError(f"{arm!r} can't be promoted; it may be one of {self._challengers()}")
        if self._promoted is not None:
            raise ValueError(f"{self._promoted!r} is promoted already; roll it back first")
        self._on_clock(now_ns)
        self._promoted = arm
        self._rollback = Rollback(self._promised())
        self._told = {told for told in self._told if not told.startswith("promotion_ready")}
        self._tell("promoted", arm, f"{arm!r} leads; {self.spec.incumbent!r} keeps {self.spec.holdout:.0%}.", {})
        self._publish(self._weigh())

    def roll_back(self, now_ns: int, why: str) -> None:
        """Give the lead back to the incumbent and drop the promoted arm. ValueError where none is promoted."""
        if self._promoted is None:
            raise ValueError("no arm is promoted")
        self._on_clock(now_ns)
        arm, self._promoted, self._rollback = self._promoted, None, None
        self._dropped[arm] = "rolled back"
        self._learner.remove_arm(arm)
        self._check.rejoin(self._evidence.arms.index(arm))
        self._tell("rollback", arm, f"{arm!r} is rolled back to {self.spec.incumbent!r}: {why}.", {})
        self._publish(self._weigh())

    def _promised(self) -> float:
        """The quality that a promoted arm must keep: the incumbent's minus the margin."""
        mean, _ = self._evidence.quality.estimated(self._evidence.arms.index(self.spec.incumbent))
        return max(mean.estimate - self.spec.objective.margin, -1.0)

    def _drop(self, arm: str, reason: str, why: str, figures: dict[str, float]) -> None:
        """Take a challenger out of the candidate set."""
        self._dropped[arm] = reason
        self._learner.remove_arm(arm)
        self._check.rejoin(self._evidence.arms.index(arm))
        self._tell("arm_dropped", arm, f"{why}; it is drawn no more.", figures)

    def _readmit(self, arm: str, text: str) -> None:
        """Take a challenger into the candidate set again, with nothing known of it."""
        del self._dropped[arm]
        self._learner.add_arm(arm)
        self._evidence.fell(arm)
        self._drift[arm] = Drift()
        self._told.discard(f"promotion_ready {arm}")
        self._tell("arm_readmitted", arm, text, {})

    def add_arm(self, arm: Arm) -> None:
        """Try another value, or one again that was dropped. ValueError where it is tried, or there is no room."""
        if arm.key in self._dropped:
            self._arms[arm.key] = arm
            self._readmit(arm.key, f"{arm.key!r} is tried again.")
        else:
            CampaignSpec(
                "", (*self._arms.values(), arm), self.spec.incumbent, exploration=0.9
            )  # checks number and keys
            self._arms[arm.key] = arm
            self._learner.add_arm(arm.key)
            self._evidence.add_arm(arm.key)
            self._check.add_arm(arm.key)
            self._drift[arm.key] = Drift()
            self._tell("arm_added", arm.key, f"{arm.key!r} is tried.", {})
        if arm.price_usd is not None:
            self._learner.reprice(arm.key, arm.price_usd)
        self._publish(self._weights)

    def remove_arm(self, key: str) -> None:
        """Try a value no more; a promoted one is rolled back. ValueError for the incumbent and what is not tried."""
        if key == self._promoted:
            self.roll_back(self._last_ns, "it was removed")
        elif key in self._challengers():
            self._drop(key, "removed", f"{key!r} was removed", {})
        else:
            raise ValueError(f"{key!r} can't be removed; it may be one of {self._challengers()}")
        self._publish(self._weigh())

    def reprice(self, key: str, price_usd: float | None, factor: float = 1.0) -> None:
        """A price changed: declare the new cost of a unit, or scale what was learned by ``factor``. An arm that was
        given up is tried again.
        """
        if key not in self._arms:
            raise ValueError(f"there is no arm {key!r}; there are {list(self._arms)}")
        self._arms[key] = self._arms[key]._replace(price_usd=price_usd)
        self._evidence.cost.scale(self._evidence.arms.index(key), factor)
        if self._dropped.get(key) == "hopeless":
            self._readmit(key, f"{key!r} is tried again, because its price changed.")
        if key not in self._dropped:
            self._learner.reprice(key, price_usd, factor)
        self._tell("price_changed", key, f"The price of {key!r} changed.", {"factor": factor})

    def halt(self, why: str, now_ns: int) -> None:
        """The incumbent alone, until :meth:`resume`; what was learned stays."""
        self._on_clock(now_ns)
        self._halted = why
        self._tell("halted", None, f"Only {self.spec.incumbent!r} is drawn until this is resumed: {why}.", {})
        self._publish(self._weigh())

    def resume(self) -> None:
        """Go on after :meth:`halt`. Nothing is published before the next :meth:`advance`."""
        self._halted = None
        self._observed = self._refused = 0
        self._told.discard("observation_refused None")

    def _tell(self, kind: EventKind, arm: str | None, text: str, figures: dict[str, float]) -> None:
        self._events.append(Event(kind, arm, text, figures, self._last_ns))

    def _once(self, kind: EventKind, arm: str | None, text: str, figures: dict[str, float], at_ns: int) -> None:
        """Tell what is told once only."""
        if (key := f"{kind} {arm}") not in self._told:
            self._told.add(key)
            self._events.append(Event(kind, arm, text, figures, at_ns))

    # What is written down ---------------------------------------------------------------------------------------

    def state(self) -> Json:
        """All that was learned, as JSON without NaN or infinity, with a schema number; without the spec."""
        return {
            "kind": "campaign",
            "schema": SCHEMA,
            "campaign_id": self.spec.campaign_id,
            "incumbent": self.spec.incumbent,
            "arms": [list(arm) for arm in self._arms.values()],
            "dropped": dict(self._dropped),
            "promoted": self._promoted,
            "halted": self._halted,
            "rollback": None if self._rollback is None else self._rollback.state(),
            "learner": self._learner.state(),
            "evidence": self._evidence.state(),
            "drift": [self._drift[arm].state() for arm in self._arms],
            "check": self._check.state(),
            "aa": self._aa,
            "mismatch": self._mismatch,
            "paused": self._paused,
            "spending": self._spending.state(),
            "pacer": None if self._pacer is None else self._pacer.state(),
            "told": sorted(self._told),
            "events": [list(event) for event in self._events],
            "observed": self._observed,
            "refused": self._refused,
            "last_ns": self._last_ns,
            "weights": [[context, dict(row)] for context, row in self._weights.items()],
        }

    @classmethod
    def of_state(cls, spec: CampaignSpec, state: Json) -> Self:
        """The campaign that gave this state. :class:`~.states.StateError` where it does not fit: keep the text, and
        go on with ``Campaign(spec)`` and :meth:`halt`, which is the incumbent.
        """
        reader = Reader(state, "campaign", "campaign", SCHEMA)
        reader.text("campaign_id", (spec.campaign_id,))
        reader.text("incumbent", (spec.incumbent,))
        made = cls(spec)
        made._arms = {arm.key: arm for arm in _arms(reader.take("arms"), spec)}
        keys = tuple(made._arms)
        made._dropped = {arm: str(why) for arm, why in reader.object("dropped", keys).items()}
        made._promoted = reader.optional_text("promoted", keys)
        made._halted = reader.optional_text("halted")
        rollback, pacer = reader.take("rollback"), reader.take("pacer")
        made._rollback = None if rollback is None else Rollback.of_state(rollback, "campaign.rollback")
        made._pacer = None if pacer is None else Pacer.of_state(pacer, "campaign.pacer")
        made._learner = Thompson.of_state(reader.take("learner"))
        made._evidence = Evidence.of_state(reader.take("evidence"), "campaign.evidence")
        made._check = SelfCheck.of_state(reader.take("check"), "campaign.check")
        drift = reader.list("drift", len(keys))
        made._drift = {arm: Drift.of_state(one, f"campaign.drift.{arm}") for arm, one in zip(keys, drift, strict=True)}
        made._aa = reader.text("aa", ("waiting", "passed", "failed"))
        made._mismatch, made._paused = reader.flag("mismatch"), reader.flag("paused")
        made._spending = Spending.of_state(reader.take("spending"), "campaign.spending")
        made._told = set(reader.texts("told"))
        made._observed, made._refused = reader.count("observed"), reader.count("refused")
        made._last_ns = reader.count("last_ns")
        made._events = [_event(one) for one in reader.list("events")]
        weights = _weights(reader.list("weights"), keys)
        reader.end()
        drawn = [key for key in keys if key not in made._dropped]
        if made._evidence.arms != list(keys) or made._check.arms != list(keys) or set(made._learner.arms) != set(drawn):
            raise StateError(f"campaign: learner, evidence and check are not of the arms {list(keys)}")
        made._publish(weights)
        return made


def _excludes_zero(found: dict[str, float], name: str) -> bool:
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    return low is not None and high is not None and (low > 0 or high < 0)


def _figures(found: Compared) -> dict[str, float]:
    """The bounds of a comparison, those that are known."""
    figures: dict[str, float] = {}
    for name, sequence in zip(("quality", "cost_usd", "latency_s"), found, strict=True):
        figures |= {f"{name}_low": sequence.low, f"{name}_high": sequence.high}
    return {name: float(value) for name, value in figures.items() if np.isfinite(value)}


def _arms(given: object, spec: CampaignSpec) -> list[Arm]:
    """Arms that were written down: those of the spec, and others that were added."""
    try:
        arms = [Arm(*one) for one in given]  # type: ignore[attr-defined]
        CampaignSpec("", tuple(arms), spec.incumbent, exploration=0.9)
        for arm in arms:
            Reader({"kind": "arm", "schema": 1, "price": arm.price_usd}, f"campaign.arms.{arm.key}", "arm", 1).optional(
                "price", low=0.0
            )
    except (TypeError, ValueError) as error:
        raise StateError(f"campaign.arms: {error}") from error
    if missing := {arm.key for arm in spec.arms} - {arm.key for arm in arms}:
        raise StateError(f"campaign.arms: those of the spec are missing: {sorted(missing)}")
    return arms


def _event(given: object) -> Event:
    if not isinstance(given, list) or len(given) != len(Event._fields):
        raise StateError(f"campaign.events: expected {Event._fields}, got {given!r}")
    return Event(*given)


def _weights(given: list[object], keys: tuple[str, ...]) -> dict[str | None, dict[str, float]]:
    """Weights that were published: by context, each summing to 1."""
    found: dict[str | None, dict[str, float]] = {}
    for one in given:
        if not isinstance(one, list) or len(one) != 2 or not (one[0] is None or isinstance(one[0], str)):
            raise StateError(f"campaign.weights: expected [context, weights], got {one!r}")
        reader = Reader({"kind": "w", "schema": 1, "of": one[1]}, f"campaign.weights.{one[0]}", "w", 1)
        row = reader.numbers("of", low=0.0)
        if not set(row) <= set(keys) or abs(sum(row.values()) - 1) > 1e-6:
            raise StateError(f"campaign.weights.{one[0]}: expected shares of {list(keys)} that sum to 1, got {row!r}")
        found[one[0]] = row
    if None not in found:
        raise StateError("campaign.weights: those for everywhere are missing")
    return found

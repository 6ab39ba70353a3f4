"""What the policy in force orders for a call of this process.

In: the policy (:mod:`.policy_source`), the call's line, its run and the model it asks for. Out: a
:class:`.decisions.Plan` for the call, or None where no rule is about it, which costs one comparison. A module of its
own because everything that steers one process meets here: caps, sticky draws, the memory of conversations, what may be
spent beyond the agent's own (:mod:`.extras`). What a plan does to a request stands in :mod:`.steered`.

Anything wrong with the policy leaves the incumbent in force; the policy's source says why.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .budgets import HedgeShare
from .caps import Guardrails
from .conversations import Conversations
from .decisions import LASTING_KNOBS, LOOP_KNOBS, Hint, Order, Pin, Plan
from .detours import LeftAlone
from .extras import Extras, TokenMeter
from .guard import guarded
from .lanes import Lanes
from .policy import STEERABLE, Drawn, Policy, Rule, Seen, draw
from .policy_rules import InRun, first_holding
from .policy_source import PolicySource
from .records import Site
from .settings import Settings

log = logging.getLogger("trimtab")

MAX_STICKY = 10_000
"""Draws remembered; the oldest are drawn again, with the same result unless the rule has changed since."""

COSTLY = (
    *("model", "max_tokens", "fallback", "hedge_delay_s"),
    *("reasoning_effort", "prompt_cache", "endpoint", "escalate"),
)
"""Knobs that may make a call dearer."""


OF_CONVERSATIONS = ("model", "endpoint")
"""Knobs that keep their value within a conversation."""


class Setting(NamedTuple):
    """What a declared knob is set to."""

    value: Any
    """None where the incumbent was drawn."""
    is_incumbent: bool
    propensity: float
    source: str
    policy_version: int
    rule_id: str
    seen: dict[str, Any] | None = None
    """The run's state, where a rule with ``when`` looked at it."""


class Steering:
    """What steers one process. Thread-safe.

    Args:
        settings: Whether to steer at all, where the policy is, and caps.
        source: Where the policy comes from; by default as the settings say.
    """

    def __init__(self, settings: Settings, source: PolicySource | None = None) -> None:
        self._source = PolicySource(settings) if source is None else source
        self._service = settings.service
        self._caps = settings.caps
        self._sticky: OrderedDict[tuple[str, str, str], Drawn] = OrderedDict()
        self._knob_rules: dict[tuple[str, str, str], tuple[Policy, tuple[Rule, ...]]] = {}
        self._lock = threading.RLock()  # a signal handler may call a model, too
        self._waiting = 0
        self._has_said_spent = False
        self._said_unusable: set[str] = set()
        self.extras = Extras()
        self.lanes = Lanes()
        self.hedges = HedgeShare()
        self.tokens = TokenMeter()
        self.conversations = Conversations()
        self.left_alone = LeftAlone()
        self.endpoints = {endpoint.name: endpoint for endpoint in settings.endpoints}

    def policy(self) -> Policy | None:
        """The policy in force, if any of its rules is active."""
        policy = self._source.current()
        return policy if policy.knobs else None

    @property
    def counts_tokens(self) -> bool:
        """Whether a rule asks for the tokens of a run."""
        return self._source.current().counts_tokens

    @guarded()
    def close(self) -> None:
        """Stop to steer."""
        self._source.close()

    def plan(
        self, site: Site, hint: Hint | None, model: str | None, run_id: str, run: InRun | None = None
    ) -> Plan | None:
        """What is ordered for a call made at ``site``; None where nothing is.

        Args:
            site: The line of the call.
            hint: What the SDK said about it.
            model: The model that it asks for.
            run_id: The run it belongs to.
            run: What is known of that run.
        """
        policy = self.policy()
        if policy is None or policy.knobs.isdisjoint(STEERABLE):
            return None
        seen = run.seen() if run is not None and policy.has_conditions(STEERABLE) else None
        caps = self._caps.lowered(policy.guardrails)
        is_spent = self.is_spent(caps)
        orders = []
        for knob in STEERABLE:
            if knob not in policy.knobs or (is_spent and knob in COSTLY):
                continue
            pin = _pin(knob, site, hint)
            covering = list(policy.covering(knob, {site.site_id, pin.site.site_id}, self._service, model, run))
            order = self._order(policy, knob, covering, run_id, pin, caps, seen)
            if order is not None:
                orders.append(_no_dearer(order, hint) if is_spent else order)
        return Plan(tuple(orders), caps) if orders else None

    def knob(self, name: str, site: Site, run_id: str, run: InRun | None, policy: Policy | None) -> Setting | None:
        """What ``policy`` sets the declared knob ``name`` to, read at ``site``; None where no rule is about it."""
        if policy is None or name not in policy.knobs:
            return None
        seen = run.seen() if run is not None and policy.has_conditions((name,)) else None
        covering = self._covering(policy, name, site, run_id, run)
        rule = first_holding(covering, seen)
        if rule is None:
            return None
        drawn = self._draw(rule, run_id, site.site_id)
        by = rule.source, policy.version, rule.rule_id
        return Setting(drawn.value, drawn.is_incumbent, drawn.propensity, *by, _looked_at(covering, rule, seen))

    def _covering(self, policy: Policy, name: str, site: Site, run_id: str, run: InRun | None) -> tuple[Rule, ...]:
        """The rules for a declared knob at a line of one run, which are the same for as long as the policy is."""
        key = (name, site.site_id, run_id)
        known = self._knob_rules.get(key)
        if known is None or known[0] is not policy:
            if len(self._knob_rules) >= MAX_STICKY:
                self._knob_rules.clear()
            found = tuple(policy.covering(name, (site.site_id,), self._service, None, run))
            known = self._knob_rules[key] = policy, found
        return known[1]

    def holds(self, plan: Plan) -> bool:
        """Whether what ``plan`` orders beyond the first request still holds: neither frozen nor over nor taken back."""
        policy = self.policy()
        if policy is None:
            return False
        rules = {rule.rule_id for rule in policy.rules}
        return all(order.rule_id in rules for order in plan.orders if order.knob in LASTING_KNOBS)

    def is_spent(self, caps: Guardrails) -> bool:
        """Whether steered calls have used up the tokens of this hour; said once."""
        is_spent = self.tokens.spent() >= caps.max_tokens_per_hour
        if is_spent and not self._has_said_spent:
            log.warning(
                "Steered calls used %d tokens within an hour, and %d are allowed: until they are fewer, the code's own"
                " values hold wherever another one may cost more.",
                self.tokens.spent(),
                caps.max_tokens_per_hour,
            )
        self._has_said_spent = is_spent
        return is_spent

    def say_unusable(self, endpoint: str, why: str) -> None:
        """Say once of an endpoint that a policy names why it can't be used."""
        if endpoint not in self._said_unusable:
            self._said_unusable.add(endpoint[:64])
            log.warning("The policy sends calls to the endpoint %r: %s; they go to the code's own.", endpoint, why)

    def begin_waiting(self, caps: Guardrails) -> bool:
        """Take a place among the calls that wait in a loop of ours; False where all are taken."""
        with self._lock:
            if self._waiting >= caps.max_in_flight:
                return False
            self._waiting += 1
            return True

    def end_waiting(self) -> None:
        """Give the place back."""
        with self._lock:
            self._waiting -= 1

    def _order(
        self,
        policy: Policy,
        knob: str,
        covering: list[Rule],
        run_id: str,
        pin: Pin,
        caps: Guardrails,
        seen: Seen | None,
    ) -> Order | None:
        """What the first of the rules that holds orders; of a knob that conversations keep, also what one orders that
        has held."""
        rule = first_holding(covering, seen)
        is_past = rule is None
        if rule is None:
            if not covering or knob not in OF_CONVERSATIONS:
                return None
            rule = covering[0]
        drawn = self._draw(rule, run_id, pin.site.site_id)
        return Order(
            knob=rule.knob,
            value=None if drawn.is_incumbent else caps.clamp(rule.knob, drawn.value),
            is_incumbent=drawn.is_incumbent,
            propensity=drawn.propensity,
            source=rule.source,
            policy_version=policy.version,
            rule_id=rule.rule_id,
            pin=pin,
            values=tuple(caps.clamp(rule.knob, arm.value) for arm in rule.arms if not arm.is_incumbent),
            seen=_looked_at(covering, rule, seen),
            rules=tuple(rule.rule_id for rule in covering),
            is_past=is_past,
        )

    def _draw(self, rule: Rule, run_id: str, site_id: str) -> Drawn:
        """The rule's value; in an experiment that which was drawn first, also where the shares changed since."""
        if len(rule.arms) == 1:
            return draw(rule, run_id, site_id)
        key = run_id, site_id, rule.rule_id
        with self._lock:
            drawn = self._sticky.get(key)
            if drawn is None or (drawn.value, drawn.is_incumbent) not in [(a.value, a.is_incumbent) for a in rule.arms]:
                drawn = self._sticky[key] = draw(rule, run_id, site_id)
            self._sticky.move_to_end(key)
            if len(self._sticky) > MAX_STICKY:
                self._sticky.popitem(last=False)
        return drawn


def _looked_at(covering: Sequence[Rule], rule: Rule, seen: Seen | None) -> dict[str, Any] | None:
    """What a decision says of its run's state: nothing where neither ``rule`` nor one that it comes after looked."""
    if seen is None:
        return None
    asked = covering[: covering.index(rule) + 1]
    return None if all(each.when is None for each in asked) else seen._asdict()


def _pin(knob: str, site: Site, hint: Hint | None) -> Pin:
    """Where a knob of a call made at ``site`` was chosen; what retries a call stands where its retries do."""
    if hint is not None and knob in LOOP_KNOBS:
        return hint.max_retries.pin(site)
    if hint is not None and knob == "timeout_s":
        return hint.timeout.pin(site)
    return Pin(site, "code", "call")


def _no_dearer(order: Order, hint: Hint | None) -> Order:
    """``order`` without more retries than the incumbent makes."""
    if order.knob != "max_retries" or order.is_incumbent:
        return order
    most = incumbent_retries(hint)
    value = order.value
    value = {name: min(n, most) for name, n in value.items()} if isinstance(value, dict) else min(value, most)
    return replace(order, value=value)


def incumbent_retries(hint: Hint | None) -> int:
    """Retries that the code around us makes of a failed request: the SDK's, none where there is no SDK."""
    value = hint.max_retries.value if hint is not None else 0
    return value if isinstance(value, int) else 0

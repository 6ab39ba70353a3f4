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
from dataclasses import replace
from typing import Any, NamedTuple

from .caps import Guardrails
from .conversations import Conversations
from .decisions import LOOP_KNOBS, Hint, Order, Pin, Plan
from .extras import Extras, TokenMeter
from .guard import guarded
from .policy import STEERABLE, Drawn, Policy, Rule, draw
from .policy_source import PolicySource
from .records import Site
from .settings import Settings

log = logging.getLogger("trimtab")

MAX_STICKY = 10_000
"""Draws remembered; the oldest are drawn again, with the same result unless the rule has changed since."""

COSTLY = ("model", "max_tokens", "fallback")
"""Knobs that may make a call dearer."""


class Setting(NamedTuple):
    """What a declared knob is set to."""

    value: Any
    """None where the incumbent was drawn."""
    is_incumbent: bool
    propensity: float
    source: str
    policy_version: int
    rule_id: str


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
        self._lock = threading.RLock()  # a signal handler may call a model, too
        self._waiting = 0
        self._has_said_spent = False
        self.extras = Extras()
        self.tokens = TokenMeter()
        self.conversations = Conversations()

    def policy(self) -> Policy | None:
        """The policy in force, if any of its rules is active."""
        policy = self._source.current()
        return policy if policy.knobs else None

    @guarded()
    def close(self) -> None:
        """Stop to steer."""
        self._source.close()

    def plan(self, site: Site, hint: Hint | None, model: str | None, run_id: str) -> Plan | None:
        """What is ordered for a call made at ``site``; None where nothing is.

        Args:
            site: The line of the call.
            hint: What the SDK said about it.
            model: The model that it asks for.
            run_id: The run it belongs to.
        """
        policy = self.policy()
        if policy is None or policy.knobs.isdisjoint(STEERABLE):
            return None
        caps = self._caps.lowered(policy.guardrails)
        is_spent = self.is_spent(caps)
        orders = []
        for knob in STEERABLE:
            if knob not in policy.knobs or (is_spent and knob in COSTLY):
                continue
            pin = _pin(knob, site, hint)
            rule = policy.rule(knob, {site.site_id, pin.site.site_id}, self._service, model)
            if rule is not None:
                order = self._order(policy, rule, run_id, pin, caps)
                orders.append(_no_dearer(order, hint) if is_spent else order)
        return Plan(tuple(orders), caps) if orders else None

    def knob(self, name: str, site: Site, run_id: str) -> Setting | None:
        """What the declared knob ``name``, read at ``site``, is set to; None where no rule is about it."""
        policy = self.policy()
        if policy is None or name not in policy.knobs:
            return None
        rule = policy.rule(name, (site.site_id,), self._service, None)
        if rule is None:
            return None
        drawn = self._draw(rule, run_id, site.site_id)
        return Setting(drawn.value, drawn.is_incumbent, drawn.propensity, rule.source, policy.version, rule.rule_id)

    def holds(self, plan: Plan) -> bool:
        """Whether what ``plan`` orders about retries is still wanted: neither frozen nor over nor taken back."""
        policy = self.policy()
        if policy is None:
            return False
        rules = {rule.rule_id for rule in policy.rules}
        return all(order.rule_id in rules for order in plan.orders if order.knob in LOOP_KNOBS)

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

    def _order(self, policy: Policy, rule: Rule, run_id: str, pin: Pin, caps: Guardrails) -> Order:
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

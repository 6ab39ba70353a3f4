"""What a plan tries with a call that its own code would not ask for: which of it the request allows.

In: a call's plan and its request. Out: the plan without what the request does not allow, and what goes out instead:
parameters of its body (:mod:`.body_knobs`), another endpoint (:mod:`.endpoints`), another model first (``escalate``). A
module of its own beside :mod:`.steered` because all of these may be lost at the provider, and then have a way back
(:mod:`.detours`); what was lost before is left alone here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from .body_knobs import BODY_KNOBS, with_knob
from .conversations import Conversation
from .decisions import Hint, Order, Plan
from .detours import Escalation, endpoint_key, first_key, knob_key
from .endpoints import is_kept_elsewhere, is_plain, key_of, url
from .resending import Destination, Outgoing, sdk_retry_of
from .rewrite import Draft
from .shapes import value_class
from .steering import Steering
from .verifiers import THRESHOLD, verifiers
from .wire.values import obj


@value_class
class Asked:
    """A call as the agent makes it."""

    run_id: str
    client: Any
    """The HTTP client that sends it."""
    request: Any
    api: str
    body: bytes | None
    """None where it can be read only once."""
    model: str | None
    hint: Hint | None
    """What the SDK said about it."""
    site_id: str = ""
    """The line of the call."""
    stream: bool = False
    """Whether the answer is handed out while it comes."""
    sent_with: Mapping[str, Any] = field(default_factory=dict)
    """What ``send`` of the HTTP client was called with beside the request."""


def with_body_knobs(steering: Steering, call: Asked, plan: Plan, asked: Draft | None) -> tuple[Plan, Draft | None]:
    """The plan with those of :mod:`.body_knobs` that the request takes, and what is asked with them."""
    draft = asked
    for knob in BODY_KNOBS:
        order = plan.order(knob)
        if order is None:
            continue
        is_left = draft is None or steering.left_alone.has(knob_key(knob, call.site_id, draft.model))
        if draft is None or is_left or any(with_knob(draft, knob, value) is None for value in order.values):
            plan = plan.without((knob,))
        elif not order.is_incumbent:
            draft = with_knob(draft, knob, order.value)
    return plan, draft


def with_endpoint(
    steering: Steering, call: Asked, plan: Plan, draft: Draft | None, talk: Conversation | None
) -> tuple[Plan, Destination | None]:
    """The plan, and where the call goes instead: a conversation stays where it began."""
    order = plan.order("endpoint")
    if order is None:
        return plan, None
    if draft is None or talk is None or not _may_leave(call, draft, talk):
        return plan.without(("endpoint",)), None
    found = steering.conversations.standing(call.run_id, order, talk.keys, begins=not talk.is_continued)
    places = {name: _destination(steering, call, draft, name) for name in order.values}
    if found is None or None in places.values() or (not found.is_incumbent and found.value not in places):
        return plan.without(("endpoint",)), None
    if not talk.is_continued:
        steering.conversations.remember(call.run_id, found, talk.keys)
    return plan.with_order(order, found), None if found.is_incumbent else places[found.value]


def _may_leave(call: Asked, draft: Draft, talk: Conversation) -> bool:
    """Whether nothing ties a request to the agent's own provider."""
    is_tied = talk.is_bound or talk.will_bind or is_kept_elsewhere(draft.api, draft.body)
    return not is_tied and is_plain(call.client, call.sent_with)


def _destination(steering: Steering, call: Asked, draft: Draft, name: str) -> Destination | None:
    """The endpoint of that name with its key; None where it can't be used now."""
    endpoint = steering.endpoints.get(name)
    key = key_of(endpoint) if endpoint is not None else None
    if endpoint is None or key == "":
        steering.say_unusable(name, "no [endpoints.…] of that name" if endpoint is None else "no key in its variable")
        return None
    is_left = steering.left_alone.has(endpoint_key(name))
    return None if is_left or url(draft.api, endpoint, call.request) is None else Destination(endpoint, key)


def with_escalation(
    steering: Steering, call: Asked, plan: Plan, draft: Draft | None, talk: Conversation | None
) -> Plan:
    """The plan without ``escalate`` where an answer can't be checked before it is handed out, or binds to a model."""
    order = plan.order("escalate")
    if order is None:
        return plan
    is_open = draft is not None and talk is not None and not (talk.is_bound or talk.will_bind)
    is_again = bool(sdk_retry_of(call.request))  # of a call whose own model was asked before
    if draft is None or not is_open or is_again or call.stream or not _has_one_answer(draft):
        return plan.without(("escalate",))
    for value in order.values:
        is_left = steering.left_alone.has(first_key(call.request.url.host, value["model"]))
        can_ask = draft.with_model(value["model"]) not in (None, draft)
        if is_left or not can_ask or not verifiers.knows(value["verify"]):
            return plan.without(("escalate",))
    return plan


def _has_one_answer(draft: Draft) -> bool:
    body = draft.body
    choices = [body.get("n"), obj(body.get("generationConfig")).get("candidateCount")]
    is_stream = body.get("stream") is True or b":streamGenerateContent" in draft.raw_path
    if draft.api == "ollama" and body.get("stream") is not False:
        is_stream = True  # what it does unless told otherwise
    return not is_stream and not body.get("background") and all(count in (None, 1) for count in choices)


def escalation_of(plan: Plan, outgoing: Outgoing) -> Escalation | None:
    """The escalation that ``plan`` orders; None where it orders none."""
    order = plan.order("escalate")
    if order is None or order.is_incumbent or outgoing.draft is None:
        return None
    threshold = float(order.value.get("threshold", THRESHOLD))
    return Escalation(order, tuple(order.value["verify"]), threshold, outgoing.draft.body)


def beside(escalation: Escalation, plan: Plan, outgoing: Outgoing) -> tuple[Order, ...]:
    """The other orders of a call that escalates, which is recorded once it has a verdict; and the model that it would
    have asked without, for the first request's body names another one."""
    orders = plan.without(("escalate",)).orders
    if plan.order("model") is not None:
        return orders
    own = replace(escalation.order, knob="model", value=outgoing.model_asked, source="code", propensity=1.0, seen=None)
    return (*orders, replace(own, policy_version=None, rule_id=None))

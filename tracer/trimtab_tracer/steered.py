"""One call as a policy wants it: which of its orders the request allows, and what goes out instead.

In: a call's plan (:mod:`.steering`) and its request. Out: a :class:`Steered`. A module of its own because here a plan
meets what a request allows (:mod:`.rewrite`), the conversation that it is part of (:mod:`.conversations`) and our retry
loop (:mod:`.resending`). What a request does not allow is dropped from the plan, where the incumbent was drawn too, so
that an experiment counts only calls that it could have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from . import rewrite
from .body_knobs import BODY_KNOBS, with_knob
from .conversations import Conversation, Conversations, conversation
from .decisions import LOOP_KNOBS, Hint, Order, Plan
from .detours import Detour, Escalation, endpoint_key, first_key, knob_key
from .digests import digest
from .endpoints import is_kept_elsewhere, is_plain, key_of, url
from .guard import guarded
from .resending import Destination, Outgoing, Resending, Sending, sdk_retry_of
from .retries import RetryLoop, Terms
from .rewrite import Draft
from .shapes import value_class
from .steering import Steering, incumbent_retries
from .verifiers import verifiers
from .wire.values import obj

IN_BODY = ("model", "max_tokens", "fallback", "endpoint", "escalate", *BODY_KNOBS)
"""Knobs for which the body must be read."""


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


@value_class
class Steered:
    """A call as its policy wants it."""

    plan: Plan
    """What was decided for the call: all of its requests go by it."""
    orders: tuple[Order, ...]
    """Those that are carried out."""
    sending: Sending
    """Its first request."""
    hint: Hint | None
    """What the SDK said about it."""
    asked_digest: str | None
    """Of the body as the agent made it."""
    max_retries: int | None
    """Most retries that a policy set; None where it set none."""
    resending: Resending | None
    """Our retry loop; None where the call's retries are not ours."""
    detour: Detour | None = None
    """What is tried and may have to be left again; None where nothing is."""


def steer(steering: Steering, plan: Plan, call: Asked) -> Steered:
    """Carry out ``plan`` for a call, as far as its request allows.

    Should changing the request fail, it goes out as it is. The retry loop is kept: an SDK has left its retries to us
    since the plan was made.
    """
    changed = _changed(steering, plan, call)
    if changed is None:
        outgoing = Outgoing(call.request, call.body, call.model, None, None, None)
        changed = plan.without((*IN_BODY, "timeout_s")), outgoing, outgoing.sending()
    doable, outgoing, first = changed
    body_digest = digest(call.body) if call.body is not None else None
    if body_digest is None:
        doable = doable.without(LOOP_KNOBS)  # what can be read only once can be sent only once
    values = doable.values()
    resending = None
    if plan.has_loop and body_digest is not None:
        resending = _resending(steering, plan, Terms.of(values, plan.caps), call, body_digest, outgoing)
    most = values.get("max_retries")
    escalation = _escalation(doable, outgoing)
    detour = Detour(steering.left_alone, outgoing, call.site_id, escalation)
    detour.resending = resending
    return Steered(
        plan=plan,
        orders=doable.orders if escalation is None else _beside(escalation, doable, outgoing),
        sending=first,
        hint=call.hint,
        asked_digest=body_digest,
        max_retries=max(most.values()) if isinstance(most, dict) else most,
        resending=resending,
        detour=detour if detour.is_open else None,
    )


@guarded()
def _changed(steering: Steering, plan: Plan, call: Asked) -> tuple[Plan, Outgoing, Sending] | None:
    """What of ``plan`` the request allows, what goes out instead, and the first request of it."""
    needs_body = any(plan.order(knob) is not None for knob in IN_BODY)
    asked = rewrite.draft(call.api, call.request, call.body) if needs_body else None
    talk = conversation(call.api, asked.body) if asked is not None else None
    doable, draft = _with_model(plan, steering.conversations, call.run_id, asked, talk)
    doable, bare = _with_max_tokens(doable, draft)
    doable, draft = _with_body_knobs(steering, call, doable, bare)
    doable, destination = _with_endpoint(steering, call, doable, draft, talk)
    doable = _with_fallback(doable, draft, talk)
    doable = _with_escalation(steering, call, doable, draft, talk)
    values = doable.values()
    timeout = None
    if "timeout_s" in values:
        given = call.request.extensions.get("timeout")
        timeout = rewrite.timeouts(call.client.timeout.as_dict() if given is None else given, values["timeout_s"])
    outgoing = Outgoing(
        request=call.request,
        body=call.body,
        model=call.model,
        asked=asked,
        draft=draft,
        timeout=timeout,
        bare=bare,
        changed=tuple(knob for knob in BODY_KNOBS if knob in values),
        destination=destination,
        first=values["escalate"]["model"] if "escalate" in values else None,
    )
    return doable, outgoing, outgoing.sending()


def _resending(
    steering: Steering, plan: Plan, terms: Terms, call: Asked, body_digest: str, outgoing: Outgoing
) -> Resending:
    incumbent = incumbent_retries(call.hint)
    account = steering.extras.account(
        call.run_id, body_digest, call.request.url.host, lambda: not steering.is_spent(plan.caps)
    )
    return Resending(steering, plan, RetryLoop(terms, incumbent, account), account, outgoing, incumbent)


def _with_model(
    plan: Plan, known: Conversations, run_id: str, asked: Draft | None, talk: Conversation | None
) -> tuple[Plan, Draft | None]:
    """The plan and what is asked instead: a conversation keeps the model that it began with."""
    order = plan.order("model")
    if order is None:
        return plan, asked
    if asked is None or talk is None or asked.model is None or talk.is_elsewhere:
        return plan.without(("model",)), asked
    begins = not (talk.is_continued or talk.is_bound)
    found = known.began_with(run_id, order.rules, talk.keys) if not begins else None if order.is_past else order
    draft = asked if found is None or found.is_incumbent else asked.with_model(found.value)
    if found is None or draft is None or any(asked.with_model(value) is None for value in order.values):
        return plan.without(("model",)), asked
    if begins:
        known.remember(run_id, found, talk.keys)
    return replace(plan, orders=tuple(found if each is order else each for each in plan.orders)), draft


def _with_max_tokens(plan: Plan, asked: Draft | None) -> tuple[Plan, Draft | None]:
    order = plan.order("max_tokens")
    if order is None:
        return plan, asked
    if asked is None or not asked.has_max_tokens:
        return plan.without(("max_tokens",)), asked
    if any(asked.with_max_tokens(value) is None for value in order.values):
        return plan.without(("max_tokens",)), asked
    draft = asked if order.is_incumbent else asked.with_max_tokens(order.value)
    return (plan.without(("max_tokens",)), asked) if draft is None else (plan, draft)


def _with_body_knobs(steering: Steering, call: Asked, plan: Plan, asked: Draft | None) -> tuple[Plan, Draft | None]:
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


def _with_endpoint(
    steering: Steering, call: Asked, plan: Plan, draft: Draft | None, talk: Conversation | None
) -> tuple[Plan, Destination | None]:
    """The plan, and where the call goes instead: a conversation stays where it began."""
    order = plan.order("endpoint")
    if order is None:
        return plan, None
    if draft is None or talk is None or not _may_leave(call, draft, talk):
        return plan.without(("endpoint",)), None
    found: Order | None = None if order.is_past else order
    if talk.is_continued:
        found = steering.conversations.began_with(call.run_id, order.rules, talk.keys)
    places = {name: _destination(steering, call, draft, name) for name in order.values}
    if found is None or None in places.values() or (not found.is_incumbent and found.value not in places):
        return plan.without(("endpoint",)), None
    if not talk.is_continued:
        steering.conversations.remember(call.run_id, found, talk.keys)
    plan = replace(plan, orders=tuple(found if each is order else each for each in plan.orders))
    return plan, None if found.is_incumbent else places[found.value]


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


def _with_escalation(
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


def _escalation(plan: Plan, outgoing: Outgoing) -> Escalation | None:
    order = plan.order("escalate")
    if order is None or order.is_incumbent or outgoing.draft is None:
        return None
    return Escalation(order, tuple(order.value["verify"]), outgoing.draft.body)


def _beside(escalation: Escalation, plan: Plan, outgoing: Outgoing) -> tuple[Order, ...]:
    """The other orders of a call that escalates, which is recorded once it has a verdict; and the model that it would
    have asked without, for the first request's body names another one."""
    orders = plan.without(("escalate",)).orders
    if plan.order("model") is not None:
        return orders
    own = replace(escalation.order, knob="model", value=outgoing.model_asked, source="code", propensity=1.0, seen=None)
    return (*orders, replace(own, policy_version=None, rule_id=None))


def _with_fallback(plan: Plan, draft: Draft | None, talk: Conversation | None) -> Plan:
    """The plan with those models to fall back on that can be asked; without any in a conversation that is bound."""
    order = plan.order("fallback")
    if order is None:
        return plan
    if draft is None or talk is None or draft.model is None or talk.is_bound or talk.will_bind:
        return plan.without(("fallback",))
    if not all(_others(draft, value["models"]) for value in order.values):
        return plan.without(("fallback",))
    if order.is_incumbent:
        return plan
    models = _others(draft, order.value["models"])
    usable = replace(order, value={**order.value, "models": models})
    return replace(plan, orders=tuple(usable if each is order else each for each in plan.orders))


def _others(draft: Draft, models: list[str]) -> list[str]:
    """Those of ``models`` that the request can be sent to, and that it is not sent to anyway."""
    return [model for model in models if draft.with_model(model) not in (None, draft)]

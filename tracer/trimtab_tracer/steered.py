"""One call as a policy wants it: which of its orders the request allows, and what goes out instead.

In: a call's plan (:mod:`.steering`) and its request. Out: a :class:`Steered`. A module of its own because here a plan
meets what a request allows (:mod:`.rewrite`), the conversation that it is part of (:mod:`.conversations`) and our retry
loop (:mod:`.resending`). What a request does not allow is dropped from the plan, where the incumbent was drawn too, so
that an experiment counts only calls that it could have changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import context, rewrite
from .body_knobs import BODY_KNOBS
from .conversations import Conversation, Conversations, conversation
from .decisions import Hint, Order, Plan
from .delivery import Delivery, DeliveryTerms, is_harmless
from .detours import Detour
from .digests import digest
from .guard import guarded
from .resending import Outgoing, Resending, Sending
from .retries import OPEN, RetryLoop, Terms
from .rewrite import Draft
from .shapes import value_class
from .steering import Steering, incumbent_retries
from .trials import Asked, beside, escalation_of, with_body_knobs, with_endpoint, with_escalation

IN_BODY = ("model", "max_tokens", "fallback", "hedge_delay_s", "endpoint", "escalate", *BODY_KNOBS)
"""Knobs for which the body must be read."""


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
    delivery: Delivery | None = None
    """Its time and its lanes; None where no rule is about those."""
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
        doable = doable.without_loop()  # what can be read only once can be sent only once
    values = doable.values()
    delivery = _delivery(steering, plan, values, call, first.model)
    resending = None
    if plan.has_loop and body_digest is not None:
        resending = _resending(steering, plan, Terms.of(values, plan.caps), call, body_digest, outgoing, delivery)
    most = values.get("max_retries")
    escalation = escalation_of(doable, outgoing)
    detour = Detour(steering.left_alone, outgoing, call.site_id, escalation)
    detour.resending = resending
    return Steered(
        plan=plan,
        orders=doable.orders if escalation is None else beside(escalation, doable, outgoing),
        sending=first,
        hint=call.hint,
        asked_digest=body_digest,
        max_retries=max(most.values()) if isinstance(most, dict) else most,
        resending=resending,
        delivery=delivery,
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
    doable, draft = with_body_knobs(steering, call, doable, bare)
    doable, destination = with_endpoint(steering, call, doable, draft, talk)
    doable = _with_fallback(doable, draft, talk)
    doable = _with_hedge(doable, asked)
    doable = with_escalation(steering, call, doable, draft, talk)
    values = doable.values()
    timeout = None
    if "timeout_s" in values:
        given, wanted = call.request.extensions.get("timeout"), values["timeout_s"]
        change = rewrite.split_timeouts if isinstance(wanted, dict) else rewrite.timeouts
        timeout = change(call.client.timeout.as_dict() if given is None else given, wanted)
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


@guarded()
def _delivery(
    steering: Steering, plan: Plan, values: dict[str, Any], call: Asked, model: str | None
) -> Delivery | None:
    terms = DeliveryTerms.of(values)
    if terms is None:
        return None
    host = call.request.url.netloc.decode("ascii", "replace").rpartition("@")[2]
    return Delivery(steering.lanes, steering.hedges, host, model, terms, lambda: steering.holds(plan))


def _resending(
    steering: Steering,
    plan: Plan,
    terms: Terms,
    call: Asked,
    body_digest: str,
    outgoing: Outgoing,
    delivery: Delivery | None,
) -> Resending:
    incumbent = incumbent_retries(call.hint)
    account = steering.extras.account(
        call.run_id, body_digest, call.request.url.host, lambda: not steering.is_spent(plan.caps)
    )
    loop = RetryLoop(terms, incumbent, account, delivery or OPEN)
    return Resending(steering, plan, loop, account, outgoing, incumbent)


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
    found = known.standing(run_id, order, talk.keys, begins=begins)
    draft = asked if found is None or found.is_incumbent else asked.with_model(found.value)
    if found is None or draft is None or any(asked.with_model(value) is None for value in order.values):
        return plan.without(("model",)), asked
    if begins:
        known.remember(run_id, found, talk.keys)
    return plan.with_order(order, found), draft


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
    return plan.with_order(order, usable)


def _with_hedge(plan: Plan, asked: Draft | None) -> Plan:
    """The plan without a second request where sending twice does more than ask twice."""
    if plan.order("hedge_delay_s") is None:
        return plan
    tool = context.scope.get().tool
    if asked is not None and is_harmless(asked.api, asked.body) and not (tool is not None and tool.mutates):
        return plan
    return plan.without(("hedge_delay_s",))


def _others(draft: Draft, models: list[str]) -> list[str]:
    """Those of ``models`` that the request can be sent to, and that it is not sent to anyway."""
    return [model for model in models if draft.with_model(model) not in (None, draft)]

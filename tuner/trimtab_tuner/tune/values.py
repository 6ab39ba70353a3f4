"""Other values, or other prices, for an experiment that is running.

In: an experiment as somebody saw it, and what they want changed; or the price list of today. Out: a decision of the
control: what was learned, the weights and the policy change in one transaction, so that no draw is of an arm that
nobody knows. Apart from :mod:`.live`, because a person asks for it; what it means for the learner is the campaign's.

What was learned of the other values goes on. A new value begins with nothing but what shadow runs or a declared price
say of it; one that is taken out is drawn no more by the next policy, and its runs stay in the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from trimtab_tracer.ingest_rows import price_attempt
from trimtab_tracer.prices import PriceList

from ..control import SIDECAR, Refused, campaigns
from ..control.campaigns import INCUMBENT, Revised, arm_key, value_key
from ..control.document import Json
from ..learn import Arm, Campaign, StateError
from ..reads import Row, fetch
from . import specs, units
from .begin import pairs, refuse_capped

if TYPE_CHECKING:
    from trimtab_tracer.store import Store

    from ..control import Actor, Control

NOTICED: Final = 0.01
"""Change of a price that is worth a word: less is rounding."""
SAMPLE: Final = 200
"""Attempts of each value whose price is looked at."""


def add(
    control: Control,
    store: Store,
    experiment_id: str,
    value: Any,
    *,
    version: int,
    actor: Actor,
    why: str | None = None,
    price_usd: float | None = None,
) -> Row:
    """Try ``value`` too; the experiment's row.

    Args:
        control: Of the store.
        store: Where shadow runs are, which warm the learner.
        experiment_id: Which.
        value: Of its knob. One that was given up or taken out is tried again, with nothing known of it.
        version: Of the experiment, as it was seen.
        actor: Who wants it.
        why: Their reason.
        price_usd: What a run with it costs; learned where that is not said.

    Raises:
        Conflict: someone stopped or changed it before.
        NotThere: there is no such experiment.
        Refused: the value can't be tried, is tried already, or there is no room for it.
    """

    def make(row: Row) -> Revised:
        refuse_capped(control, row["knob"], value)
        key = value_key(value)
        campaign = _read(row)
        if key in campaign.challengers:
            raise Refused(f"{value!r} is tried already. Nothing was changed.")
        known = key in {arm_key(arm) for arm in row["arms"]}
        arms = row["arms"] if known else [*row["arms"], {"value": value, "weight": 0.0}]
        campaign.add_arm(Arm(key, value, price_usd))
        campaign = _read(row | {"arms": arms, "state": campaign.state()})  # whose cap on exploring has room for it
        if row["knob"] == "model":
            found = pairs(store, row["match"].get("site"), [value])
            campaign.warm({key: answers[key]} for answers in found)
        return _revised(control, row, campaign, arms, "add_value", None, value)

    return _decide(control, experiment_id, make, version, actor, why)


def remove(
    control: Control, experiment_id: str, value: Any, *, version: int, actor: Actor, why: str | None = None
) -> Row:
    """Try ``value`` no more; without another one left the experiment ends. Arguments and errors as of :func:`add`."""

    def make(row: Row) -> Revised:
        campaign = _read(row)
        _change(lambda: campaign.remove_arm(value_key(value)))
        return _revised(control, row, campaign, row["arms"], "remove_value", value, None)

    return _decide(control, experiment_id, make, version, actor, why)


def reprice(
    control: Control,
    experiment_id: str,
    value: Any,
    *,
    version: int,
    actor: Actor,
    why: str | None = None,
    price_usd: float | None = None,
    factor: float = 1.0,
) -> Row:
    """Say what a run with ``value`` costs from now on (``price_usd``), or how many times as much (``factor``).

    ``None`` as the value means the code's own. What was learned of success stays. Else as :func:`add`.
    """

    def make(row: Row) -> Revised:
        campaign, key = _read(row), INCUMBENT if value is None else value_key(value)
        _change(lambda: campaign.reprice(key, price_usd, factor))
        now = {"price_usd": price_usd} if price_usd is not None else {"factor": factor}
        return _revised(control, row, campaign, row["arms"], "reprice_value", None, {"value": value, **now})

    return _decide(control, experiment_id, make, version, actor, why)


def notice_prices(control: Control, store: Store, row: Row, prices: PriceList) -> bool:
    """Scale what was learned of costs where the price list says otherwise than when it was learned.

    Each value's newest attempts since the last look are priced as if they were made now. What the provider itself
    reported as cost is no matter of the list and is left out; it is learned as it comes.

    Args:
        control: Of the store.
        store: Where the attempts are.
        row: The running experiment, as :func:`~..control.campaigns.running` gives it.
        prices: Of today.

    Returns:
        Whether the experiment's row was written.
    """
    identity = prices.identity
    before = row["spec"].get("prices") or {"identity": None, "checked_ns": row["started_ns"]}
    if before["identity"] == identity:
        return False
    now_ns = control.now_ns()
    factors = _factors(store, row, prices, before["checked_ns"], now_ns)

    def make(seen: Row) -> Revised:
        campaign = _read(seen)
        for key, factor in factors.items():
            campaign.reprice(key, None, factor)
        spec = seen["spec"] | {"prices": {"identity": identity, "checked_ns": now_ns}}
        changed = {key: round(factor, 4) for key, factor in factors.items()}
        return _revised(control, seen | {"spec": spec}, campaign, seen["arms"], "reprice_value", None, changed)

    control.revise_campaign(
        row["experiment_id"], make, version=row["version"], actor=SIDECAR, why="the price list is another one"
    )
    return True


def _factors(store: Store, row: Row, prices: PriceList, since_ns: int, now_ns: int) -> dict[str, float]:
    """By arm how many times as much its attempts would cost now; arms of which nothing is known, or that cost the same,
    are left out."""
    with closing(store.cursor()) as con:
        found = fetch(
            con,
            units.statement("priced_attempts"),
            knob=row["knob"],
            rule=row["rule_id"],
            since_ns=since_ns,
            most=SAMPLE,
        )
    sums: dict[str, list[int]] = {}
    for attempt in found:
        priced = dict(attempt) | {"started_ns": now_ns, "params": attempt["params"] and json.dumps(attempt["params"])}
        price_attempt(priced, prices)
        if priced["cost_computed_musd"] is not None:
            arm = attempt["arm"] if attempt["arm"] == INCUMBENT else value_key(json.loads(attempt["arm"]))
            total = sums.setdefault(arm, [0, 0])
            total[0] += attempt["cost_computed_musd"]
            total[1] += priced["cost_computed_musd"]
    tried = {arm_key(arm) for arm in row["arms"]}
    changed = {arm: now / before for arm, (before, now) in sums.items() if before > 0 and arm in tried}
    return {arm: factor for arm, factor in changed.items() if abs(factor - 1) > NOTICED}


def _decide(
    control: Control,
    experiment_id: str,
    make: Callable[[Row], Revised],
    version: int,
    actor: Actor,
    why: str | None,
) -> Row:
    return control.revise_campaign(experiment_id, make, version=version, actor=actor, why=why)


def _change(do: Callable[[], None]) -> None:
    try:
        do()
    except ValueError as error:
        raise Refused(f"{error}. Nothing was changed.") from None


def _read(row: Row) -> Campaign:
    try:
        return Campaign.of_state(specs.campaign_spec(row["experiment_id"], row["arms"], row["spec"]), row["state"])
    except StateError as error:
        raise Refused(f"What the experiment had learned can't be read ({error}). Nothing was changed.") from None
    except ValueError as error:
        raise Refused(f"{error}. Nothing was changed.") from None


def _revised(
    control: Control, row: Row, campaign: Campaign, arms: list[Json], action: str, before: Any, after: Any
) -> Revised:
    advice = campaign.advance(control.now_ns())
    weights = specs.weights_of(advice)
    shares = weights[campaigns.EVERYWHERE]
    return Revised(
        action=action,
        before=before,
        after=after,
        arms=[arm | {"weight": shares.get(arm_key(arm), 0.0)} for arm in arms],
        spec=row["spec"],
        state=campaign.state(),
        verdict=specs.verdict_json(advice),
        weights=weights,
        phase=advice.phase,
        promoted_arm=advice.leader if advice.phase == "promoted" else None,
        events=[specs.event_of(event) for event in advice.events],
        is_over=not any(v.in_set for arm, v in advice.verdicts.items() if arm != INCUMBENT),
    )

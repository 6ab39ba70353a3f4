"""The API of learning: modes of knobs, experiments whose weights are learned, and what happened to them.

In: requests that passed the gate. Out: rows of the store, and decisions of people, which :class:`~.control.Control`
takes. Apart from :mod:`.control_routes` because nothing there learns. An experiment that is learned from is stopped by
the route of experiments, for it is one.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException

from . import control_models as shapes
from . import paging, reads, tuning_reads
from .actors import Who
from .control import Actor, campaigns, modes
from .routing import Desk, router

NONE = paging.NoParameters
Anything = Annotated[NONE, Query()]


def routers(desk: Desk) -> tuple[APIRouter, ...]:
    """Routes by what they are about."""
    return _tuning(desk), _modes(desk), _shadow(desk)


def _tuning(desk: Desk) -> APIRouter:
    api = router(may_conflict=True)

    @api.get("/tuning")
    def tuning(_: Anything) -> shapes.Tuning:
        """Modes of knobs, and experiments that are learned from, running ones first."""
        with desk.snapshot() as con:
            said, found = modes.modes(con), reads.campaigns(con)
        everyone = {"knob": modes.ALL, "mode": desk.control.settings.tune_mode, "set_ns": None, "set_by": None}
        rows = said if any(row["knob"] == modes.ALL for row in said) else [everyone, *said]
        return shapes.Tuning(
            modes=[shapes.KnobMode.model_validate(row) for row in rows],
            campaigns=[_shown(row) for row in found],
        )

    @api.get("/tuning/events")
    def events(p: Annotated[paging.CampaignEventParameters, Query()]) -> shapes.CampaignEvents:
        """What happened to experiments that are learned from, behind a known event, oldest first."""
        with desk.snapshot() as con:
            rows = campaigns.events(con, after=p.after, limit=p.limit, experiment_id=p.experiment)
        items = [shapes.CampaignEvent.model_validate(row) for row in rows]
        return shapes.CampaignEvents(items=items, after=items[-1].event_id if items else p.after)

    @api.get("/tuning/{experiment_id}")
    def campaign(experiment_id: str, _: Anything) -> shapes.Campaign:
        """One experiment that is learned from."""
        with desk.snapshot() as con:
            found = reads.campaigns(con, experiment_id=experiment_id)
        if not found:
            detail = (
                f"There is no experiment {experiment_id!r} that is learned from; `trimtab tune` lists what there is."
            )
            raise HTTPException(404, detail)
        return _shown(found[0])

    @api.get("/tuning/{experiment_id}/history")
    def history(experiment_id: str, _: Anything) -> shapes.TuningHistory:
        """With which weights one was drawn over time, and how often."""
        with desk.snapshot() as con:
            found = reads.campaigns(con, experiment_id=experiment_id)
            if not found:
                raise HTTPException(404, f"There is no experiment {experiment_id!r} that is learned from.")
            told = tuning_reads.history(con, found[0], desk.control.now_ns())
        return shapes.TuningHistory.model_validate(told)

    @api.post("/tuning")
    def start(body: shapes.StartCampaign, who: Annotated[Actor, Depends(Who)], _: Anything) -> shapes.Campaign:
        """Try values of a knob against what the code does, and learn which is better while agents run."""
        from .tune.begin import begin  # brings numpy and scipy

        earlier = _earlier(body)
        match = body.match.model_dump(exclude_none=True) if body.match is not None else earlier.get("match", {})
        values = body.values or [arm["value"] for arm in earlier.get("arms", ()) if "value" in arm]
        known: dict[str, Any] = {"seen": body.seen, "why": body.why, "after": earlier or None, "store": desk.store}
        row = begin(desk.control, body.knob, match, values, body.goal.model_dump(), actor=who, **known)
        return campaign(row["experiment_id"], NONE())

    @api.post("/tuning/{experiment_id}/values")
    def add_value(
        experiment_id: str, body: shapes.AddValue, who: Annotated[Actor, Depends(Who)], _: Anything
    ) -> shapes.Campaign:
        """Try another value too, in an experiment that is running."""
        from .tune import values  # brings numpy and scipy

        known: dict[str, Any] = {"version": body.version, "actor": who, "why": body.why}
        values.add(desk.control, desk.store, experiment_id, body.value, price_usd=body.price_usd, **known)
        return campaign(experiment_id, NONE())

    @api.post("/tuning/{experiment_id}/values/remove")
    def remove_value(
        experiment_id: str, body: shapes.RemoveValue, who: Annotated[Actor, Depends(Who)], _: Anything
    ) -> shapes.Campaign:
        """Try a value no more; where no other is left the experiment ends."""
        from .tune import values

        values.remove(desk.control, experiment_id, body.value, version=body.version, actor=who, why=body.why)
        return campaign(experiment_id, NONE())

    @api.post("/tuning/{experiment_id}/values/reprice")
    def reprice_value(
        experiment_id: str, body: shapes.RepriceValue, who: Annotated[Actor, Depends(Who)], _: Anything
    ) -> shapes.Campaign:
        """Say what a value costs from now on; what was learned of success stays."""
        from .tune import values

        known: dict[str, Any] = {"version": body.version, "actor": who, "why": body.why}
        known |= {"price_usd": body.price_usd, "factor": body.factor}
        values.reprice(desk.control, experiment_id, body.value, **known)
        return campaign(experiment_id, NONE())

    def _shown(row: reads.Row) -> shapes.Campaign:
        shown = {name: value for name, value in row.items() if name not in ("spent", "rule_id")}
        explored = tuning_reads.explored_usd(row, desk.control.now_ns())
        return shapes.Campaign.model_validate(shown | {"explored_usd": explored})

    def _earlier(body: shapes.StartCampaign) -> reads.Row:
        """The experiment whose runs are learned from as well; empty where none is named."""
        if body.after is None:
            return {}
        with desk.snapshot() as con:
            found = reads.experiments(con, experiment_id=body.after)
        if not found or found[0]["knob"] != body.knob:
            detail = f"There is no experiment {body.after!r} on {body.knob}; `trimtab experiment list` lists them."
            raise HTTPException(404, detail)
        return found[0]

    return api


def _modes(desk: Desk) -> APIRouter:
    api = router(may_conflict=True)

    @api.post("/tuning/modes/{knob}")
    def set_mode(
        knob: str, body: shapes.ModeBody, who: Annotated[Actor, Depends(Who)], _: Anything
    ) -> shapes.KnobModes:
        """Say what may be done about a knob without asking; `*` stands for all that have no mode of their own."""
        desk.control.set_mode(knob, body.mode, seen=body.seen, actor=who, why=body.why)
        with desk.snapshot() as con:
            return shapes.KnobModes(modes=[shapes.KnobMode.model_validate(row) for row in modes.modes(con)])

    return api


def _shadow(desk: Desk) -> APIRouter:
    api = router()

    @api.post("/shadow")
    def shadow(body: shapes.ShadowBody, who: Annotated[Actor, Depends(Who)], _: Anything) -> shapes.ShadowTaken:
        """Keep what another model answered to recorded requests, and propose what that speaks for."""
        from .recommend.pairs import proposals  # brings polars

        desk.control.record_shadow([pair.model_dump() for pair in body.pairs], actor=who)
        with desk.snapshot() as con:
            made = proposals(con)
        desk.control.propose(made, ("shadow",))
        return shapes.ShadowTaken(pairs=len(body.pairs))

    return api

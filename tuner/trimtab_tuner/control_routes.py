"""The control API: knobs, recommendations, experiments, outcomes, and what was decided.

In: requests that passed the gate. Out: rows of the store, and decisions, which :class:`~.control.Control` takes:
whoever decides carries the version that they saw, and of two who decide at once one is answered with 409 and the
other's name. Apart from :mod:`.policy_routes` because each request here is about one thing and not about the whole
policy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException

from trimtab_tracer.policy import STEERABLE, Rule, parse

from . import control_models as shapes
from . import models, paging, reads
from .actors import Who
from .control import Actor
from .routing import Desk, page_at, page_behind, router

MAX_VALUES = 20
"""Values listed of one knob at one site: texts such as prompt versions have thousands."""

Anything = Annotated[paging.NoParameters, Query()]


def routers(desk: Desk) -> tuple[APIRouter, ...]:
    """Routes by what they are about."""
    return (
        *(_knobs(desk), _recommendations(desk), _experiments(desk), _outcomes(desk), _history(desk)),
        _notices(desk),
    )


def _knobs(desk: Desk) -> APIRouter:
    api = router()

    @api.get("/knobs")
    def knobs(p: Annotated[paging.KnobParameters, Query()]) -> models.Page[shapes.Knob]:
        """What the harness decides, by knob and site, with the values it had, in the order of the code."""
        with desk.snapshot() as con:
            rows = reads.knobs(con, knob=p.knob, site=p.site, max_values=MAX_VALUES, limit=p.limit, offset=p.offset)
        published = desk.control.published()
        policy = parse(published.text, published.issued_ns)
        rules = () if policy.is_frozen else policy.rules
        for row in rows:
            row["steerable"] = row["knob"] in STEERABLE or bool(row["choices"])
            row["rule_id"] = _in_force(rules, row)
        return page_at(shapes.Knob, rows, p)

    return api


def _in_force(rules: tuple[Rule, ...], row: reads.Row) -> str | None:
    """Id of the most specific rule that may hold for a knob at a site, of equals the one listed first."""
    fitting = [
        rule
        for rule in rules
        if rule.knob == row["knob"]
        and rule.match.site in (None, row["site_id"])
        and rule.match.service in (None, *row["services"])
    ]
    found = max(fitting, key=lambda rule: rule.match.specificity, default=None)
    return found.rule_id if found is not None else None


def _recommendations(desk: Desk) -> APIRouter:
    api = router(may_conflict=True)
    control = desk.control

    @api.get("/recommendations")
    def recommendations(
        p: Annotated[paging.RecommendationParameters, Query()],
    ) -> models.Page[shapes.Recommendation]:
        """Proposed changes: those that wait for a decision first, then those in force."""
        with desk.snapshot() as con:
            rows = reads.recommendations(con, status=p.status, limit=p.limit, offset=p.offset)
        return page_at(shapes.Recommendation, rows, p)

    @api.get("/recommendations/{recommendation_id}")
    def recommendation(recommendation_id: str, _: Anything) -> shapes.Recommendation:
        """One proposed change, and what became of it."""
        with desk.snapshot() as con:
            found = reads.recommendations(con, recommendation_id=recommendation_id)
        if not found:
            detail = f"There is no recommendation {recommendation_id!r}; `trimtab recs` lists what there is."
            raise HTTPException(404, detail)
        return shapes.Recommendation.model_validate(found[0])

    @api.get("/recommendations/{recommendation_id}/before-after")
    def before_after(recommendation_id: str, _: Anything) -> shapes.BeforeAfter:
        """What runs came to before an accepted change was obeyed, and since. An association: nothing was randomised."""
        from trimtab_analyzer.before_after import before_after  # brings polars

        found = recommendation(recommendation_id, paging.NoParameters())
        with desk.snapshot() as con:
            version = reads.accepted_as(con, recommendation_id)
            if version is None:
                raise HTTPException(404, "This recommendation was never accepted, so there is nothing after it yet.")
            change = before_after(con, found.knob, found.site_id, policy_version=version)
        return shapes.BeforeAfter.model_validate(change.as_json())

    @api.post("/recommendations/{recommendation_id}/accept")
    def accept(
        recommendation_id: str, body: shapes.Accept, who: Annotated[Actor, Depends(Who)], _: Anything
    ) -> shapes.Recommendation:
        """Publish the recommended rule, or one with `value` instead; agents obey it within two seconds."""
        chosen: dict[str, Any] = {"value": body.value} if "value" in body.model_fields_set else {}
        row = control.accept(recommendation_id, version=body.version, actor=who, why=body.why, **chosen)
        return shapes.Recommendation.model_validate(row)

    @api.post("/findings/{finding_id}/recommend")
    def recommend(
        finding_id: str,
        who: Annotated[Actor, Depends(Who)],
        _: Anything,
        body: shapes.Ask = shapes.Ask(),  # noqa: B008
    ) -> shapes.Recommendations:
        """Make a finding a recommendation, by the rules of the analysis: also one that was rejected or has expired."""
        rows = control.ask_for(finding_id, actor=who, why=body.why)
        return shapes.Recommendations.model_validate({"items": rows})

    def decided(path: str, decide: Callable[..., reads.Row], sentence: str) -> None:
        def route(
            recommendation_id: str, body: shapes.Decide, who: Annotated[Actor, Depends(Who)], _: Anything
        ) -> shapes.Recommendation:
            row = decide(recommendation_id, version=body.version, actor=who, why=body.why)
            return shapes.Recommendation.model_validate(row)

        api.post(f"/recommendations/{{recommendation_id}}/{path}", name=path, description=sentence)(route)

    decided("reject", control.reject, "Turn a proposed change down; it is not proposed again.")
    decided("rollback", control.roll_back, "Take the rule of an accepted change out of the policy.")
    decided("promote", control.promote, "Say that a change has proven itself; its rule stays.")
    return api


def _experiments(desk: Desk) -> APIRouter:
    api = router(may_conflict=True)
    control = desk.control

    @api.get("/experiments")
    def experiments(p: Annotated[paging.ExperimentParameters, Query()]) -> models.Page[shapes.Experiment]:
        """Experiments, running ones first."""
        with desk.snapshot() as con:
            rows = reads.experiments(con, status=p.status, limit=p.limit, offset=p.offset)
        return page_at(shapes.Experiment, rows, p)

    @api.get("/experiments/{experiment_id}")
    def experiment(experiment_id: str, _: Anything) -> shapes.Experiment:
        """One experiment."""
        with desk.snapshot() as con:
            found = reads.experiments(con, experiment_id=experiment_id)
        if not found:
            detail = f"There is no experiment {experiment_id!r}; `trimtab experiment list` lists what there is."
            raise HTTPException(404, detail)
        return shapes.Experiment.model_validate(found[0])

    @api.post("/experiments")
    def start(body: shapes.StartExperiment, who: Annotated[Actor, Depends(Who)], _: Anything) -> shapes.Experiment:
        """Let agents draw a knob's value run by run, at fixed shares; one experiment per knob runs at a time."""
        arms = [arm.model_dump(exclude_unset=True) for arm in body.arms]
        match = body.match.model_dump(exclude_none=True)
        row = control.start_experiment(body.knob, match, arms, seen=body.seen, actor=who, why=body.why)
        return shapes.Experiment.model_validate(row)

    @api.post("/experiments/{experiment_id}/stop")
    def stop(
        experiment_id: str, body: shapes.Decide, who: Annotated[Actor, Depends(Who)], _: Anything
    ) -> shapes.Experiment:
        """End an experiment: its rule is taken out of the policy."""
        row = control.stop_experiment(experiment_id, version=body.version, actor=who, why=body.why)
        return shapes.Experiment.model_validate(row)

    return api


def _outcomes(desk: Desk) -> APIRouter:
    api = router()

    @api.post("/outcomes")
    def outcome(body: shapes.OutcomeBody, who: Annotated[Actor, Depends(Who)], _: Anything) -> shapes.OutcomeTaken:
        """Say what came of a run, also long after it; the same `outcome_id` again changes nothing."""
        taken = desk.control.record_outcome(**body.model_dump(), actor=who)
        if taken.is_new:
            desk.told()
        return shapes.OutcomeTaken(outcome_id=taken.outcome_id, is_new=taken.is_new)

    return api


def _history(desk: Desk) -> APIRouter:
    api = router()

    @api.get("/audit")
    def audit(p: Annotated[paging.PageParameters, Query()]) -> models.Page[shapes.AuditEntry]:
        """Who decided what, when, from where and why, newest first."""
        before = p.after
        with desk.snapshot() as con:
            rows = reads.audit(con, before_id=before[0] if before else None, limit=p.limit + 1)
        return page_behind(shapes.AuditEntry, rows, p, key=("audit_id", "action"))

    @api.get("/events")
    async def events(p: Annotated[paging.EventParameters, Query()]) -> shapes.Events:
        """Decisions after a known one, oldest first; with `wait_s` as soon as there is one."""

        def look() -> list[reads.Row] | None:
            with desk.snapshot() as con:
                return reads.events(con, after_id=p.after, limit=p.limit) or None

        rows = await desk.bell.until(look, p.wait_s) or []
        items = [shapes.AuditEntry.model_validate(row) for row in rows]
        return shapes.Events(items=items, after=items[-1].audit_id if items else p.after)

    return api


def _notices(desk: Desk) -> APIRouter:
    api = router()

    @api.get("/notices")
    def notices(p: Annotated[paging.PageParameters, Query()]) -> models.Page[shapes.Notice]:
        """What a webhook was told of, or is to be told of, newest first."""
        with desk.snapshot() as con:
            rows = reads.fetch(con, reads.statement("notices"), limit=p.limit, offset=p.offset)
        return page_at(shapes.Notice, rows, p)

    return api

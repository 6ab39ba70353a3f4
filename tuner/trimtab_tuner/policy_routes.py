"""The control API: the policy, its versions and rules, and the switch that stops all steering.

In: requests that passed the gate. Out: the published document to the byte, with its signature, for agents that have no
file of it; and decisions, which :class:`~.control.Control` takes. Whoever decides carries the version of the policy
that they saw, except to freeze. Apart from :mod:`.control_routes` because everything here is about the whole policy. A
request that waits holds no thread (:mod:`.waiting`).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trimtab_tracer.policy_signature import SIGNATURE_HEADER, sign

from . import control_models as shapes
from . import models, paging, reads
from .actors import Who
from .control import Actor, Published
from .routing import Desk, page_at, router

DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The document; its ETag changes with every issue", "content": {"application/json": {}}},
    304: {"description": "It is still the one of If-None-Match"},
}


def routers(desk: Desk, policy_key: str) -> tuple[APIRouter, ...]:
    """Routes that read, and routes that decide; ``policy_key`` signs the document."""
    return _published(desk, policy_key), _reads(desk), _decisions(desk)


def _published(desk: Desk, policy_key: str) -> APIRouter:
    api = router()

    @api.get("/policy", responses=DOCUMENT)
    async def policy(
        p: Annotated[paging.PolicyParameters, Query()], if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        """The policy as published, signed; 304 while it is the one of `If-None-Match`. An agent's key may read it."""

        def look() -> Published | None:
            published = desk.control.published()
            return None if _is_among(published.etag, if_none_match) else published

        published = await desk.bell.until(look, p.wait_s if if_none_match is not None else 0)
        if published is None:
            return Response(status_code=304, headers=_headers(desk.control.published().etag))
        headers = {**_headers(published.etag), SIGNATURE_HEADER: sign(policy_key, published.text)}
        return Response(published.text, media_type="application/json", headers=headers)

    return api


def _reads(desk: Desk) -> APIRouter:
    api = router()

    @api.get("/policy/versions")
    def versions(p: Annotated[paging.PageParameters, Query()]) -> models.Page[shapes.PolicyVersion]:
        """Every policy that was ever in force, newest first."""
        with desk.snapshot() as con:
            rows = reads.policy_versions(con, limit=p.limit, offset=p.offset)
        return page_at(shapes.PolicyVersion, rows, p)

    @api.get("/policy/versions/{version}")
    def version(version: int, _: Annotated[paging.NoParameters, Query()]) -> shapes.PolicyVersionDetail:
        """One policy that was in force, with its document."""
        with desk.snapshot() as con:
            found = reads.policy_versions(con, version=version) if 0 <= version <= shapes.MAX_INT32 else []
        if not found:
            raise HTTPException(404, f"There is no policy version {version}; /v1/policy/versions lists them.")
        return shapes.PolicyVersionDetail.model_validate(found[0])

    @api.get("/freeze")
    def freeze(_: Annotated[paging.NoParameters, Query()]) -> shapes.FreezeState:
        """Whether steering is stopped, and who last decided about it."""
        published = desk.control.published()
        with desk.snapshot() as con:
            last = reads.last_freeze(con) or dict.fromkeys(("at_ns", "actor", "via", "why"))
        state = {"frozen": published.document["frozen"], "policy_version": published.version}
        return shapes.FreezeState.model_validate({**last, **state})

    return api


def _decisions(desk: Desk) -> APIRouter:
    api = router(may_conflict=True)
    control = desk.control

    @api.post("/policy/rules")
    def put(
        body: shapes.PutRule, who: Annotated[Actor, Depends(Who)], _: Annotated[paging.NoParameters, Query()]
    ) -> shapes.PolicyState:
        """Put a rule with one fixed value into the policy, or in the place of the one with its id."""
        rule = body.rule.model_dump(exclude_unset=True)
        return _state(control.put_rule(rule, seen=body.seen, actor=who, why=body.why))

    @api.post("/policy/rules/{rule_id}/remove")
    def remove(
        rule_id: str,
        body: shapes.Confirm,
        who: Annotated[Actor, Depends(Who)],
        _: Annotated[paging.NoParameters, Query()],
    ) -> shapes.PolicyState:
        """Take a rule out of the policy."""
        return _state(control.remove_rule(rule_id, seen=body.seen, actor=who, why=body.why))

    @api.post("/policy/rollback")
    def roll_back(
        body: shapes.RollBack, who: Annotated[Actor, Depends(Who)], _: Annotated[paging.NoParameters, Query()]
    ) -> shapes.PolicyState:
        """Return to the rules of an earlier policy."""
        return _state(control.roll_back_policy(body.to, seen=body.seen, actor=who, why=body.why))

    @api.post("/freeze")
    def freeze(
        who: Annotated[Actor, Depends(Who)],
        _: Annotated[paging.NoParameters, Query()],
        body: shapes.Freeze = shapes.Freeze(),  # noqa: B008 - frozen
    ) -> shapes.PolicyState:
        """Stop all steering at once: agents do what their code says. Needs no version, and no body."""
        return _state(control.freeze(who, body.why))

    @api.post("/unfreeze")
    def unfreeze(
        body: shapes.Confirm, who: Annotated[Actor, Depends(Who)], _: Annotated[paging.NoParameters, Query()]
    ) -> shapes.PolicyState:
        """Let steering go on with the rules that are there."""
        return _state(control.unfreeze(who, body.why, seen=body.seen))

    return api


def _is_among(etag: str, given: str | None) -> bool:
    """Whether an ``If-None-Match`` header names ``etag``."""
    names = {name.strip().removeprefix("W/") for name in (given or "").split(",")}
    return etag in names or "*" in names


def _headers(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Cache-Control": "no-store"}


def _state(published: Published) -> shapes.PolicyState:
    document = published.document
    return shapes.PolicyState(
        policy_version=published.version,
        issued_ns=published.issued_ns,
        frozen=document["frozen"],
        rules=len(document["rules"]),
        document=document,
    )

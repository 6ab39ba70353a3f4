"""Everything the pages know, and everything they change: the sidecar's API, asked as the person who is signed in.

In: which sidecar to ask (:mod:`.connection`). Out: decoded JSON as the API documents it. The only place with
``st.cache_data``: a page that is drawn again within :data:`TTL_S` asks nothing, and what a person changes is seen at
once, because every write empties the cache. Reads have no name on them; writes carry the person's, which the guard has
put into ``st.user``. A sidecar that is gone or refuses raises :class:`~trimtab_tracer.errors.SidecarError` with its one
sentence.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import streamlit as st

from trimtab_tracer.errors import SidecarError

from . import connection

TTL_S = 3.0
"""For how long an answer is good enough to draw a page with."""
DEAR_TTL_S = 15.0
"""The same for what is dear to ask: the report looks at every attempt of the store."""
SOON_S = 4.0
"""A sidecar that works says so within this time, whatever else it is asked."""
PAGE = 50
"""Rows of a page of runs or decisions."""
CARDS = 15
"""Findings or recommendations that are drawn one below the other; the rest is on further pages."""
FEW_IDS = 10
"""Ids of each kind that come with a finding; the table of runs has them all."""
MOST_OF_RUN = 5_000
"""Most calls, requests and tools of one run that are shown."""
MOST = 1000
"""Most rows of one request; what is more is counted, not shown."""


def person() -> str:
    """Who is signed in."""
    return unquote(str(st.user.get("name") or "")) or "unknown"


def is_there() -> bool:
    """Whether the sidecar answers, and soon: a page may wait long for a sum, but not for this."""
    try:
        connection.client(timeout_s=SOON_S).get("/v1/health")
    except SidecarError:
        return False
    return True


def health() -> Any:
    """Whether the sidecar works, the policy's version, and whether steering is frozen."""
    return _get("/v1/health")


def overview(**filters: object) -> Any:
    """What runs came to, in sum and over time."""
    return _get("/v1/overview", **filters)


def tuning() -> Any:
    """Modes of knobs, and experiments whose weights are learned."""
    return _get("/v1/tuning")


def campaigns() -> list[Any]:
    """Experiments whose weights are learned."""
    found: list[Any] = tuning()["campaigns"]
    return found


def tuning_history(experiment_id: str) -> Any:
    """With which weights an experiment was drawn over time, and how often."""
    return _get(f"/v1/tuning/{quoted(experiment_id)}/history")


def tuning_events() -> list[Any]:
    """What happened to experiments, oldest first."""
    found: list[Any] = []
    while page := _get("/v1/tuning/events", after=found[-1]["event_id"] if found else 0, limit=MOST)["items"]:
        found += page
    return found


def knob_names() -> list[str]:
    """Settings that agents have decided and that can be steered, each once."""
    items = _get("/v1/knobs", limit=MOST)["items"]
    return sorted({item["knob"] for item in items if item["steerable"]})


def setup() -> Any:
    """What is set up: versions, sizes, settings, packages, agents."""
    return _large(connection.url(), "/v1/setup")


def losses() -> list[Any]:
    """Records that could not be kept."""
    items: list[Any] = _get("/v1/losses", limit=MOST)["items"]
    return items


def quoted(text: str) -> str:
    """``text`` as a part of a path."""
    return quote(text, safe="")


def decoded(text: str) -> Any:
    """A value from its JSON text."""
    return json.loads(text)


def comparison() -> Any:
    """How much of success, cost and time comes with harness, model and task."""
    return _summed("/v1/compare")


def report() -> Any:
    """Sums, headline, ledger and notes over all runs, as ``trimtab report --json`` prints them; without the runs."""
    return _report(connection.url())


def runs(*, limit: int | None = None, **filters: object) -> Any:
    """A page of runs, newest first; filters as ``/v1/runs`` takes them."""
    return _get("/v1/runs", limit=limit or PAGE, **filters)


def choices() -> Any:
    """What runs can be chosen by: services, models, places."""
    return _choices(connection.url())


def run(run_id: str) -> Any:
    """One run with what belongs to it, but for its settings (:func:`settings`)."""
    return _large(connection.url(), _path(run_id), (("most", MOST_OF_RUN), ("leave_out", "decisions")))


def settings(run_id: str) -> Any:
    """What was in force in a run, each value once."""
    return _large(connection.url(), f"{_path(run_id)}/settings")


def blame(run_id: str) -> Any:
    """The ranked steps of a failed run."""
    return _large(connection.url(), f"{_path(run_id)}/blame")


def _path(run_id: str) -> str:
    return f"/v1/runs/{quote(run_id, safe='')}"


def call(call_id: str) -> Any:
    """One call with its attempts and texts."""
    return _large(connection.url(), f"/v1/calls/{quote(call_id, safe='')}")


def harness(**filters: object) -> Any:
    """Lines that make calls, and the runs that this is about; filters as ``/v1/harness`` takes them."""
    return _summed("/v1/harness", limit=MOST, **filters)


def agent_map(**filters: object) -> Any:
    """What came after what in runs."""
    return _summed("/v1/map", **filters)


def scorecard(**filters: object) -> Any:
    """Versions of the harness side by side."""
    return _summed("/v1/scorecard", **filters)


def compared(**asked: object) -> Any:
    """How much comes with harness, model and task; parameters as ``/v1/compare`` takes them."""
    return _summed("/v1/compare", **asked)


def what_if(**asked: object) -> Any:
    """What can be asked about, and what a drawn value would have come to."""
    return _summed("/v1/what-if", **asked)


def findings_at(site_id: str) -> list[Any]:
    """Open findings that are pinned to a line."""
    items: list[Any] = _get("/v1/findings", site=site_id, status="open", limit=MOST, ids=FEW_IDS)["items"]
    return items


def findings(status: str = "open", ranked_by: str = "loss") -> list[Any]:
    """Findings of a status in the API's order."""
    items: list[Any] = _get("/v1/findings", status=status, ranked_by=ranked_by, limit=MOST, ids=FEW_IDS)["items"]
    return items


def finding(finding_id: str) -> Any | None:
    """One finding, open or resolved."""
    return next(iter(_get("/v1/findings", finding=finding_id, ids=FEW_IDS, limit=1)["items"]), None)


def place(site_id: str | None) -> Any | None:
    """The line of code with this id."""
    return next(iter(_get("/v1/sites", site=site_id, limit=1)["items"]), None) if site_id else None


def recommendations() -> list[Any]:
    """All of them, whatever became of them."""
    items: list[Any] = _get("/v1/recommendations", limit=MOST)["items"]
    return items


def before_after(recommendation_id: str) -> Any:
    """What runs came to before an accepted change was obeyed, and since."""
    return _get(f"/v1/recommendations/{quote(recommendation_id, safe='')}/before-after")


def experiments() -> list[Any]:
    """All of them, running or stopped."""
    items: list[Any] = _get("/v1/experiments", limit=MOST)["items"]
    return items


def policy() -> Any:
    """The policy document in force."""
    return _get("/v1/policy")


def policy_versions() -> list[Any]:
    """Policies that were in force."""
    items: list[Any] = _get("/v1/policy/versions", limit=MOST)["items"]
    return items


def freeze() -> Any:
    """Whether steering is stopped, and who said so."""
    return _get("/v1/freeze")


def audit(*, limit: int | None = None, cursor: str | None = None) -> Any:
    """A page of decisions, newest first."""
    return _get("/v1/audit", limit=limit or PAGE, cursor=cursor)


class News(NamedTuple):
    """Differs from what it was before when something happened."""

    decided: tuple[object, ...]
    """When somebody decided."""
    analyses: int
    """When new runs were analysed."""


def news() -> News:
    """What is the latest."""
    last = audit(limit=1)["items"]
    state = health()
    decided = state["policy_version"], state["frozen"], last[0]["audit_id"] if last else 0
    return News(decided, state["analyses"])


def write(path: str, body: dict[str, Any]) -> Any:
    """Change something as the person who is signed in.

    Raises:
        Conflicted: somebody else was quicker; nothing was changed.
        SidecarError: refused, or no answer.
    """
    try:
        return connection.client(person()).post(path, body)
    finally:
        forget()


def forget() -> None:
    """Ask anew from now on."""
    for kept in (_answer, _large, _report, _choices, _sums):
        kept.clear()


def _get(path: str, **parameters: object) -> Any:
    return _answer(connection.url(), path, _given(parameters))


def _summed(path: str, **parameters: object) -> Any:
    return _sums(connection.url(), path, _given(parameters))


def _given(parameters: dict[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple((name, value) for name, value in sorted(parameters.items()) if value is not None)


# The url is part of what an answer is kept under: it tells two sidecars apart.


@st.cache_data(ttl=TTL_S, max_entries=300, show_spinner=False)
def _answer(url: str, path: str, parameters: tuple[tuple[str, object], ...]) -> Any:  # noqa: ARG001
    return connection.client().get(path, **dict(parameters))


@st.cache_data(ttl=TTL_S, max_entries=4, show_spinner=False)
def _large(url: str, path: str, parameters: tuple[tuple[str, object], ...] = ()) -> Any:  # noqa: ARG001
    """What may be megabytes: of it only the last few are kept."""
    return connection.client().get(path, **dict(parameters))


@st.cache_data(ttl=DEAR_TTL_S, max_entries=2, show_spinner=False)
def _report(url: str) -> Any:  # noqa: ARG001
    found = connection.client().get("/v1/report")
    return {key: value for key, value in found.items() if key not in ("runs", "findings")}


@st.cache_data(ttl=DEAR_TTL_S, max_entries=2, show_spinner=False)
def _choices(url: str) -> Any:  # noqa: ARG001
    return connection.client().get("/v1/choices")


@st.cache_data(ttl=DEAR_TTL_S, max_entries=20, show_spinner=False)
def _sums(url: str, path: str, parameters: tuple[tuple[str, object], ...]) -> Any:  # noqa: ARG001
    """What the sidecar computes of many runs."""
    return connection.client().get(path, **dict(parameters))

"""The API: pages, filters, details and refusals, over HTTP and a real store."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer.records import Outcome, Record, RunEnd, Saga, SagaStep, to_dict
from trimtab_tracer.settings import Settings
from trimtab_tuner.sidecar import Sidecar

pytestmark = pytest.mark.usefixtures("unanalysed")

SomeRun = Callable[..., list[Record]]
T0 = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


def lines(records: list[Record]) -> bytes:
    """Records as an import's body."""
    return b"".join(json.dumps(to_dict(record)).encode() + b"\n" for record in records)


def post(api: httpx.Client, body: bytes, **parameters: list[str]) -> httpx.Response:
    """Import."""
    return api.post("/v1/import", params=parameters, content=body)


def fill(api: httpx.Client, some_run: SomeRun) -> httpx.Client:
    """Seven runs: numbers 0 to 6, two failed, one without an outcome, two models and sites."""
    outcomes = [False, True, True, False, True, True, None]
    for n, success in enumerate(outcomes):
        odd = {"model": "gpt-4o", "site": "s2"} if n % 2 else {}
        assert post(api, lines(some_run(n, success=success, **odd))).status_code == 200
    return api


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory, some_run: SomeRun) -> Iterator[httpx.Client]:
    """A sidecar with seven runs, for all tests that only read."""
    with (
        Sidecar(Settings(home=tmp_path_factory.mktemp("api") / "home", port=0)) as sidecar,
        httpx.Client(base_url=sidecar.url, trust_env=False, timeout=30) as client,
    ):
        client.headers["Authorization"] = f"Bearer {sidecar.settings.token_path.read_text().strip()}"
        yield fill(client, some_run)


def ids(response: httpx.Response) -> list[str]:
    """Run ids of a page."""
    assert response.status_code == 200, response.text
    return [item["run_id"] for item in response.json()["items"]]


def test_runs_come_newest_first_with_their_sums(seven: httpx.Client) -> None:
    """A run's line has what it cost, how it ended and what came of it."""
    page = seven.get("/v1/runs").json()
    assert (page["total"], page["next"]) == (7, None)
    assert [item["run_id"] for item in page["items"]] == [f"r{n:03d}" for n in reversed(range(7))]
    run = page["items"][-1]
    assert (run["service"], run["status"], run["success"], run["outcome_source"]) == ("", "ok", False, "explicit")
    assert (run["calls"], run["attempts"], run["input_tokens"], run["output_tokens"]) == (1, 2, 1000, 100)
    assert (run["cost_musd"], run["attempts_unpriced"]) == (1000, 0)
    assert run["attributes"] == {"n": 0}


def test_pages_follow_each_other_while_runs_come_in(api: httpx.Client, some_run: SomeRun) -> None:
    """Reading page by page gives every run once, also when newer runs arrive in between."""
    seven = fill(api, some_run)
    first = seven.get("/v1/runs", params={"limit": 3}).json()
    post(seven, lines(some_run(50)))
    second = seven.get("/v1/runs", params={"limit": 3, "cursor": first["next"]}).json()
    third = seven.get("/v1/runs", params={"limit": 3, "cursor": second["next"]}).json()
    read = [item["run_id"] for page in (first, second, third) for item in page["items"]]
    assert read == [f"r{n:03d}" for n in reversed(range(7))]
    assert third["next"] is None
    assert [page["total"] for page in (first, second, third)] == [7, None, None]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"outcome": "failure"}, [3, 0]),
        ({"outcome": "unknown"}, [6]),
        ({"outcome": "success", "site": "s2"}, [5, 1]),
        ({"model": "gpt-4o"}, [5, 3, 1]),
        ({"since_ns": T0 + 2 * SECOND, "until_ns": T0 + 4 * SECOND}, [3, 2]),
        ({"status": "running"}, []),
        ({"service": "nobody"}, []),
        ({"run": ["r002", "r005", "none"]}, [5, 2]),
    ],
)
def test_filters_choose_runs(seven: httpx.Client, filters: dict[str, object], expected: list[int]) -> None:
    """Each filter keeps exactly the runs it names, and the total counts them."""
    response = seven.get("/v1/runs", params=filters)
    assert ids(response) == [f"r{n:03d}" for n in expected]
    assert response.json()["total"] == len(expected)


def test_a_run_comes_with_everything_that_belongs_to_it(seven: httpx.Client) -> None:
    """One request gives a run's calls, attempts, tools, decisions, outcomes and the lines of code they name."""
    detail = seven.get("/v1/runs/r001").json()
    assert detail["run"]["run_id"] == "r001"
    assert [(a["number"], a["http_status"], a["error_class"]) for a in detail["attempts"]] == [
        (1, 429, "rate_limit"),
        (2, 200, None),
    ]
    assert [(c["call_id"], c["attempts"], c["status"], c["wait_ns"]) for c in detail["calls"]] == [
        ("r001.c", 2, "ok", 5_000_000)
    ]
    assert [(t["name"], t["origin"], t["offered"]) for t in detail["tool_calls"]] == [("search", "requested", True)]
    assert [(d["knob"], d["value"]) for d in detail["decisions"]] == [("model", "gpt-4o")]
    assert [(o["success"], o["source"]) for o in detail["outcomes"]] == [(True, "explicit")]
    assert [(s["site_id"], s["file"], s["line"]) for s in detail["sites"]] == [("s2", "shop.py", 12)]
    assert detail["truncated"] == []


def test_a_call_comes_with_its_texts(seven: httpx.Client) -> None:
    """A call's kept texts are read from the content segments."""
    detail = seven.get("/v1/calls/r002.c").json()
    assert detail["content"] == [{"attempt": 2, "role": "request", "body": '{"messages": []}'}]
    assert detail["call"]["params"] == {"max_tokens": 100}
    assert [a["attempt_id"] for a in detail["attempts"]] == ["r002.c.1", "r002.c.2"]


def test_calls_and_sites_are_lists_too(seven: httpx.Client) -> None:
    """Calls can be chosen by run and model; sites come with what was spent there, the most expensive first."""
    assert [c["call_id"] for c in seven.get("/v1/calls", params={"run": "r004"}).json()["items"]] == ["r004.c"]
    assert seven.get("/v1/calls", params={"model": "gpt-4o", "limit": 2}).json()["total"] == 3
    call = seven.get("/v1/calls", params={"model": "gpt-4o", "limit": 1}).json()
    after = seven.get("/v1/calls", params={"model": "gpt-4o", "limit": 2, "cursor": call["next"]}).json()
    assert [c["call_id"] for c in (*call["items"], *after["items"])] == ["r005.c", "r003.c", "r001.c"]
    assert (call["total"], after["total"], after["next"]) == (3, None, None)
    sites = seven.get("/v1/sites").json()["items"]
    assert [(s["site_id"], s["runs"], s["attempts"], s["failed_attempts"], s["cost_musd"]) for s in sites] == [
        ("s1", 4, 8, 4, 4000),
        ("s2", 3, 6, 3, 3000),
    ]
    one = seven.get("/v1/sites", params={"limit": 1}).json()
    rest = seven.get("/v1/sites", params={"limit": 1, "cursor": one["next"]}).json()
    assert [s["site_id"] for s in (*one["items"], *rest["items"])] == ["s1", "s2"]
    assert rest["next"] is None


def test_the_ledger_of_no_run_is_not_an_empty_one(seven: httpx.Client) -> None:
    """A run that is not there is answered with 404, as everywhere else."""
    assert seven.get("/v1/ledger", params={"run": "r999"}).status_code == 404


def test_the_ledger_sums_to_the_total(seven: httpx.Client) -> None:
    """Classes and parts of the ledger add up to what the runs cost, for all runs and for one."""
    whole = seven.get("/v1/ledger").json()
    assert whole["total_musd"] == 7000 == sum(c["cost_musd"] for c in whole["classes"])
    assert sum(p["cost_musd"] for p in whole["parts"]["items"]) == 7000
    assert {"failed_attempt"} < {c["cls"] for c in whole["classes"]}
    one = seven.get("/v1/ledger", params={"run": "r003", "limit": 1}).json()
    assert (one["total_musd"], one["parts"]["total"], len(one["parts"]["items"])) == (1000, 2, 1)


def test_what_is_not_there_is_404(seven: httpx.Client) -> None:
    """An unknown run, call, path or method is a problem document that says where to look."""
    for path in ("/v1/runs/none", "/v1/calls/none", "/v1/none"):
        response = seven.get(path)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
    assert seven.get("/v1/report", params={"run": "none"}).status_code == 404
    assert seven.delete("/v1/runs").status_code == 405


def test_no_route_takes_an_unknown_parameter(seven: httpx.Client) -> None:
    """Every published route refuses a parameter it does not know, and names those it does."""
    document = seven.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            response = seven.request(method, path, params={"limitt": 1})
            assert response.status_code == 400, path
            detail = response.json()["detail"]
            assert "'limitt'" in detail
            assert all(p["name"] in detail for p in operation.get("parameters", []) if p["in"] == "query")


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 1001},
        {"limit": 0},
        {"limit": "many"},
        {"status": "odd"},
        {"since_ns": "yesterday"},
        {"until_ns": 2**63},
    ],
)
def test_a_value_that_cannot_be_used_is_422(seven: httpx.Client, parameters: dict[str, object]) -> None:
    """A bad value is refused with its name."""
    response = seven.get("/v1/runs", params=parameters)
    assert response.status_code == 422
    assert repr(next(iter(parameters))) in response.json()["detail"]


@given(cursor=st.text(min_size=1))
@settings(max_examples=30)
def test_a_made_up_cursor_is_refused(seven: httpx.Client, cursor: str) -> None:
    """Whatever is passed as a cursor, it is one of this list or refused with 400."""
    for path in ("/v1/runs", "/v1/sites"):
        assert seven.get(path, params={"cursor": cursor.encode("utf-8", "replace")}).status_code == 400


@pytest.mark.parametrize(
    "position", [[10**30, "r"], [-1, "r"], [True, "r"], [1.5, "r"], [10**30], [-1], ["1"], {}, None]
)
def test_a_forged_cursor_is_refused(seven: httpx.Client, position: object) -> None:
    """A cursor of the right form with numbers that no page ever gave is refused as well."""
    cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
    for path in ("/v1/runs", "/v1/sites"):
        assert seven.get(path, params={"cursor": cursor}).status_code == 400


def test_a_cursor_of_another_list_is_refused(seven: httpx.Client) -> None:
    """A cursor says which kind of list it belongs to."""
    for a, b in (("/v1/runs", "/v1/sites"), ("/v1/sites", "/v1/runs")):
        cursor = seven.get(a, params={"limit": 1}).json()["next"]
        assert seven.get(b, params={"cursor": cursor}).status_code == 400


def test_the_same_import_again_changes_nothing(api: httpx.Client, some_run: SomeRun) -> None:
    """Posting the same records twice gives the same counts and the same store."""
    body = lines(some_run(1, success=True))
    first, before = post(api, body), api.get("/v1/runs/r001").json()
    second, after = post(api, body), api.get("/v1/runs/r001").json()
    assert first.json() == second.json()
    assert first.json()["by_kind"]["attempt"] == 2
    assert before == after


def test_a_replaced_run_keeps_nothing_else(api: httpx.Client, some_run: SomeRun) -> None:
    """An import that replaces a run leaves of it only what it brings, and of the other runs everything."""
    for n in (1, 2):
        post(api, lines(some_run(n, success=True)))
    start, end = (r for r in some_run(1) if type(r).__name__ in ("RunStart", "RunEnd"))
    assert post(api, lines([start, end]), replace=["r001", "none"]).json()["records"] == 2
    one, two = (api.get(f"/v1/runs/r00{n}").json() for n in (1, 2))
    parts = ("calls", "attempts", "tool_calls", "decisions", "outcomes")
    assert [len(one[part]) for part in parts] == [0, 0, 0, 0, 0]
    assert [len(two[part]) for part in parts] == [1, 2, 1, 1, 1]
    assert (one["run"]["cost_musd"], two["run"]["cost_musd"]) == (0, 1000)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[1]",
        b'{"kind": "nothing"}',
        b'{"kind": "run_end"}',
        b"\xff\xfe",
        b'{"kind": "run_end", "run_id": 1, "ts_ns": "x", "status": "ok", "rule": "r"}',
    ],
)
def test_one_bad_line_refuses_the_whole_body(api: httpx.Client, some_run: SomeRun, bad: bytes) -> None:
    """A line that is no record is named by its number, and nothing of the body is kept."""
    response = post(api, lines(some_run(1)) + bad + b"\n")
    assert response.status_code == 400
    assert "othing was imported" in response.json()["detail"]
    assert api.get("/v1/runs").json()["total"] == 0


def test_a_body_beyond_the_bound_is_refused(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body larger than allowed is refused while it comes in, and the sidecar goes on."""
    monkeypatch.setattr("trimtab_tuner.api.MAX_BODY_BYTES", 100_000)
    assert post(api, b"\n" * 100_000).status_code == 200
    response = post(api, b"\n" * 100_001)
    assert response.status_code == 413
    assert "several requests" in response.json()["detail"]
    assert api.get("/v1/health").json()["status"] == "ok"


def test_the_published_document_fits_the_answers(seven: httpx.Client) -> None:
    """The OpenAPI document names a model for every answer, and no page of it needs the network."""
    document = seven.get("/openapi.json").json()
    assert {"/v1/health", "/v1/runs", "/v1/runs/{run_id}", "/v1/import", "/v1/report"} <= set(document["paths"])
    for path in document["paths"]:
        assert path.startswith("/v1/")
    assert document["components"]["schemas"]["Run"]["required"]
    refusals = document["paths"]["/v1/runs"]["get"]["responses"]
    assert {"400", "401", "403", "421", "422"} < set(refusals)
    assert list(refusals["400"]["content"]) == ["application/problem+json"]
    assert document["paths"]["/v1/runs"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in document["paths"]["/v1/health"]["get"]
    assert seven.get("/docs").status_code == 404


def test_version_and_report(seven: httpx.Client) -> None:
    """The version names the store's migrations; the report is the one the command prints."""
    version = seven.get("/v1/version").json()
    assert version["migrations"][0] == "0001_core.sql"
    assert version["record_schema"] == 1
    report = seven.get("/v1/report").json()
    assert report["totals"]["runs"] == 7
    assert seven.get("/v1/report", params={"run": "r003"}).json()["totals"]["runs"] == 1


def test_a_run_says_what_was_undone_and_who_judged_it(api: httpx.Client, some_run: SomeRun) -> None:
    """The detail of a failed run has its saga with every step, and outcomes name their evaluator."""
    step = SagaStep("g", 1, "r000", "book", "failed", T0, SECOND, "t1", "cancel", "ValueError", "no", "s1")
    saga = Saga("g", "r000", "p", T0, 2 * SECOND, "exception", "failed", 1)
    verdict = Outcome("o", "r000", T0, False, 0.5, "evaluator", "why", evaluator="exact", evaluator_version="2")
    body = lines([*some_run(0), saga, step, verdict])
    assert [200, 200] == [post(api, body).status_code for _ in range(2)]  # twice is once
    run = api.get("/v1/runs/r000").json()
    assert [("failed", "exception", 1, 2 * SECOND)] == [
        (s["outcome"], s["cause"], s["steps"], s["ended_ns"] - s["started_ns"]) for s in run["sagas"]
    ]
    assert [("book", "cancel", "failed", "t1", "ValueError")] == [
        (s["tool"], s["compensation"], s["status"], s["tool_run_id"], s["error_type"]) for s in run["saga_steps"]
    ]
    assert [("exact", "2")] == [(o["evaluator"], o["evaluator_version"]) for o in run["outcomes"]]


@pytest.mark.usefixtures("analysed")
def test_an_inferred_outcome_says_by_which_rule(api: httpx.Client, some_run: SomeRun) -> None:
    """After an analysis a run that ended in an error failed by a rule; an outcome that is said counts before it."""
    end = RunEnd("r000", T0 + 9 * SECOND, "error", "block exit", "KeyError")
    post(api, lines([*(r for r in some_run(0) if not isinstance(r, RunEnd)), end]))
    deadline = time.monotonic() + 30
    while (run := api.get("/v1/runs/r000").json()["run"])["outcome_rule"] is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ("inferred", "exception", 0.95, False) == tuple(
        run[key] for key in ("outcome_source", "outcome_rule", "outcome_confidence", "success")
    )
    post(api, lines([Outcome("o", "r000", T0, True)]))
    run = api.get("/v1/runs/r000").json()["run"]
    assert ("explicit", None, True) == (run["outcome_source"], run["outcome_rule"], run["success"])

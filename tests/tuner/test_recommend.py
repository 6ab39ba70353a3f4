"""Findings of small stores, made of records as agents write them, and what is proposed from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer.findings import analyze
from trimtab_tracer.ingest import ingest
from trimtab_tracer.policy import check_value
from trimtab_tracer.records import Attempt, CallDecisions, Choice, Exchange, Record, RunEnd, RunStart, Site
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.recommend import Proposal, recommend
from trimtab_tuner.recommend.proposal import METRICS

SECOND = 1_000_000_000
T0 = 1_800_000_000 * SECOND
CODE = {"max_retries": 0, "timeout_s": 600.0, "max_tokens": None}
"""What the agent's code decides unless a story says otherwise."""
Request = dict[str, Any]
OK: Request = {}
BUSY: Request = {"http_status": 529}
BROKEN: Request = {"http_status": 500}
LIMITED: Request = {"http_status": 429, "retry_after_s": 2.0}
NO_QUOTA: Request = {"http_status": 429, "code": "insufficient_quota"}
WRONG: Request = {"http_status": 404, "code": "model_not_found"}
HANGS: Request = {"http_status": None, "error_type": "httpx.ReadTimeout"}


class Story:
    """Records of an agent in the making: run by run, call by call, a second apart."""

    def __init__(self) -> None:
        self.records: list[Record] = [_site("site", 14), _site("client", 3)]
        self.now, self.n = T0, 0

    def run(self, *calls: dict[str, Any], status: str = "ok", **facts: Any) -> None:
        """A run of these calls; each is the arguments of :meth:`call`."""
        run_id = f"r{sum(isinstance(r, RunStart) for r in self.records)}"
        self.records.append(RunStart(run_id, "p", self.now, "shop", "explicit", **{"service": "shop"} | facts))
        for call in calls:
            self.call(run_id, **call)
        self.records.append(RunEnd(run_id, self.now, status, "block exit"))

    def call(
        self,
        run_id: str,
        requests: tuple[Request, ...] = (OK,),
        model: str = "m1",
        site: str = "site",
        body: str | None = None,
        pins: dict[str, str] | None = None,
        human: dict[str, Any] | None = None,
        source: str = "code",
        **decided: Any,
    ) -> None:
        """One call, with the decisions of the code (``decided``, lines in ``pins``) and of a person (``human``)."""
        self.n += 1
        call_id, start, values = f"c{self.n}", self.now, CODE | decided | (human or {})
        for number, own in enumerate(requests, 1):
            digest = body or f"body {self.n}"
            self._request(run_id, call_id, number, site, digest, values, {"model": model} | own)
        choices = tuple(
            Choice(
                *(knob, value, "human" if knob in (human or {}) else source, (pins or {}).get(knob)),
                policy_version=1 if knob in (human or {}) else None,
            )
            for knob, value in values.items()
        )
        self.records.append(CallDecisions(call_id, run_id, site, start, choices))
        self.now += SECOND

    def _request(self, run_id: str, call_id: str, number: int, site: str, body: str, values: Any, own: Request) -> None:
        asked, took_s = own["model"], own.get("took_s", 1.0)
        status, error = own.get("http_status", 200), own.get("error_type")
        if error:
            took_s = values["timeout_s"]
        attempt = Attempt(
            *(f"{call_id}.{number}", call_id, run_id, "p", number, self.now, int(took_s * SECOND)),
            *(own.get("api", "openai.chat"), "POST", own.get("host", "llm"), own.get("path", "/v1/chat/completions")),
            *(site, "error" if error else "complete"),
            http_status=status,
            error_type=error,
            retry_after_s=own.get("retry_after_s"),
            body_digest=body,
            model=asked,
            timeout_s=values["timeout_s"],
        )
        good = status == 200
        said = Exchange(
            *(attempt.attempt_id, call_id, run_id, attempt.api, asked),
            response_model=own.get("response_model", asked) if good else None,
            finish_reason=own.get("finish_reason", "stop") if good else None,
            input_tokens=100 if good else None,
            output_tokens=own.get("output_tokens", 10) if good else None,
            usage_source="reported" if good else "unknown",
            cost_reported_usd=own.get("usd", "0.0001") if good else None,
            provider_error_code=own.get("code"),
        )
        self.records += [attempt, said]
        self.now += int(took_s * SECOND)


def _site(site_id: str, line: int, file: str = "agent.py", owner: str = "user") -> Site:
    return Site(site_id, file, "main", line, line, "client.chat.completions.create()", owner)


@pytest.fixture
def story() -> Story:
    """An agent that has done nothing yet."""
    return Story()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for all tests of this module: making one takes longer than a test."""
    with Store.open(tmp_path_factory.mktemp("home") / "trimtab.duckdb") as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    """An empty store."""
    with opened.transaction() as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            if table != "migrations":
                con.execute(f"DELETE FROM {table}")
    return opened


@pytest.fixture
def proposed(store: Store, story: Story, tmp_path: Path) -> Callable[..., list[Proposal]]:
    """What is proposed once the story has been told."""

    def propose(**settings: Any) -> list[Proposal]:
        ingest(store, story.records)
        con = store.cursor()
        return recommend(con, analyze(con), Settings(home=tmp_path, **settings))

    return propose


Proposed = Callable[..., list[Proposal]]


def lost(**facts: Any) -> dict[str, Any]:
    """A call that the provider was too busy for."""
    return {"requests": (BUSY,)} | facts


def _expected(proposal: Proposal, metric: str) -> dict[str, Any]:
    found = proposal.expected[metric]
    assert found is not None
    return {
        name: round(value, 3) if isinstance(value, float) else value for name, value in found.items() if name != "basis"
    }


# --- fallback


def test_an_overloaded_model_falls_back_to_one_that_answers(story: Story, proposed: Proposed) -> None:
    """Two of four calls lost to 529, another model that answered nine of ten on the same host: a fallback."""
    story.run({}, {}, lost(), lost(pins={"max_retries": "client"}))
    story.run(*[{"model": "m2"}] * 9, lost(model="m2", site="other"))
    story.records.append(_site("other", 30))
    first = next(p for p in proposed() if p.site_id == "site")
    assert ("fallback", None, {"on": ["overloaded"], "models": ["m2"]}) == (
        first.knob,
        first.from_value,
        first.to_value,
    )
    assert {"site": "site", "service": None, "model": None} == first.match
    assert ("provider_error", "shop", "m1", "agent.py", "main", 14) == (
        *(first.rule, first.service, first.model, first.file, first.function, first.line),
    )
    assert first.title == "Fall back to m2 where m1 is overloaded (agent.py:14)"


def test_a_fallback_expects_at_most_what_is_lost(story: Story, proposed: Proposed) -> None:
    """From nothing to the upper Wilson bound of 2 of 5; 0.4 lost x 8 of 10 answered; 200 micro-USD for each answer."""
    story.run({}, {}, {}, lost(), lost())
    story.run(*[{"model": "m2", "site": "other", "requests": ({"usd": "0.0002"},)}] * 8)
    story.run(*[lost(model="m2", site="other")] * 2)
    story.records.append(_site("other", 30))
    first = next(p for p in proposed() if p.site_id == "site")
    success = {"unit": "share of calls", "low": 0.0, "high": 0.769, "estimate": 0.32, "n": 10}
    assert success == _expected(first, "success")
    assert {"unit": "micro-USD per call", "low": 0.0, "high": 153.855, "estimate": 64.0, "n": 8} == (
        _expected(first, "cost")
    )
    assert first.expected["latency"] is None
    assert first.expected["success"] is not None
    assert first.expected["success"]["basis"] == (
        "association: m2 answered 8 of 10 requests on the same host in this store"
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"host": "elsewhere"}, "another host"),
        ({"api": "anthropic.messages"}, "another format"),
        ({"response_model": "m1-2026"}, "the same model under another name"),
        ({"http_status": 500}, "it never answered"),
        ({"finish_reason": None}, "it gives vectors"),
    ],
)
def test_a_model_that_is_no_help_is_not_proposed(
    story: Story, proposed: Proposed, other: dict[str, Any], why: str
) -> None:
    """Only a model that answered on the same host in the same format, and is another one; else retries are proposed."""
    story.run({"requests": ({"response_model": "m1-2026"},)}, lost(), {"model": "m2", "requests": (other,)})
    assert ["max_retries"] == [p.knob for p in proposed() if p.site_id == "site" and p.rule == "provider_error"], why


def test_the_surest_model_wins_and_then_the_cheapest(story: Story, proposed: Proposed) -> None:
    """One answer of four is worth less than ten of ten; of two that answer alike the cheaper one is named."""
    story.records.append(_site("other", 30))
    cheap, dear, odd = ({"model": name, "site": "other", "requests": ({"usd": usd},)} for name, usd in _PRICES)
    story.run(*[cheap] * 10, *[dear] * 10, odd, *[lost(model="odd", site="other")] * 3, lost())
    assert ["cheap"] == next(p for p in proposed() if p.site_id == "site").to_value["models"]


_PRICES = (("cheap", "0.001"), ("dear", "0.002"), ("odd", "0.0001"))


def test_a_model_that_the_settings_name_comes_first(story: Story, proposed: Proposed) -> None:
    """A person's choice needs no proof; without an answer in this store nothing is expected of it but its bounds."""
    story.run({}, lost(), {"model": "m2"})
    named = Settings.resolve(home=Path("/nowhere"), fallback_models={"m1": ["m1", "house/model-2"]}).fallback_models
    (first,) = (p for p in proposed(fallback_models=named) if p.knob == "fallback")
    assert {"on": ["overloaded"], "models": ["house/model-2"]} == first.to_value
    assert (0.0, None, 0) == tuple(_expected(first, "success")[k] for k in ("low", "estimate", "n"))


def test_a_model_named_for_another_one_is_not_meant(story: Story, proposed: Proposed) -> None:
    """The table says which model fails."""
    story.run({}, lost(), {"model": "m2"})
    named = Settings.resolve(home=Path("/nowhere"), fallback_models={"m9": ["m3"]}).fallback_models
    assert ["m2"] == next(p for p in proposed(fallback_models=named) if p.knob == "fallback").to_value["models"]


def test_a_fallback_takes_server_errors_along(story: Story, proposed: Proposed) -> None:
    """Where the provider fails in both ways both are covered; dropped connections are no other model's business."""
    story.run({"model": "m2"}, lost(), {"requests": (BROKEN,)})
    assert ["overloaded", "server"] == next(p for p in proposed() if p.knob == "fallback").to_value["on"]


def test_connections_that_drop_ask_no_other_model(story: Story, proposed: Proposed) -> None:
    """The way to the host is broken for all its models: retries."""
    dropped = {"http_status": None, "error_type": "httpx.ConnectError"}
    story.run({"model": "m2"}, {"requests": (dropped,)}, {})
    (only,) = proposed()
    assert ("max_retries", 3) == (only.knob, only.to_value)


def test_vectors_have_no_fallback(story: Story, proposed: Proposed) -> None:
    """Another model's vectors do not fit the index."""
    vectors = {"api": "openai.embeddings", "path": "/v1/embeddings"}
    story.run({"model": "e2", "requests": (vectors | {"finish_reason": "stop"},)})
    story.run({"model": "e1", "requests": (vectors | BUSY,)})
    assert ["max_retries"] == [p.knob for p in proposed()]


def test_each_line_falls_back_for_itself(story: Story, proposed: Proposed) -> None:
    """One client decided the retries of two lines; each line gets its own rule."""
    story.records.append(_site("other", 30))
    pins = {"max_retries": "client"}
    story.run({"model": "m2"}, lost(pins=pins), lost(pins=pins, site="other"))
    assert [("fallback", "other"), ("fallback", "site")] == sorted((p.knob, p.site_id) for p in proposed())


# --- retries


def test_lost_rate_limits_are_retried(story: Story, proposed: Proposed) -> None:
    """Lost at 0; where such calls were sent again three of four got an answer, a second and more later."""
    story.records.append(_site("other", 30))
    story.run({}, {}, {"requests": (LIMITED,)}, {"requests": (LIMITED,)})
    again = {"site": "other", "max_retries": 2}
    story.run(*[again | {"requests": (LIMITED, OK)}] * 3, again | {"requests": (LIMITED, LIMITED, LIMITED)})
    first = next(p for p in proposed() if p.site_id == "site")
    assert ("max_retries", 0, 3) == (first.knob, first.from_value, first.to_value)
    assert {"unit": "share of calls", "low": 0.0, "high": 0.85, "estimate": 0.375, "n": 4} == _expected(
        first, "success"
    )
    assert {"unit": "seconds per call", "low": 0.0, "high": 0.85, "estimate": 0.375, "n": 3} == (
        _expected(first, "latency")
    )
    assert {"unit": "micro-USD per call", "low": 0.0, "high": 84.996, "estimate": 37.5, "n": 5} == (
        _expected(first, "cost")
    )
    assert first.why == (
        "2 of 4 calls from here got no answer with max_retries = 0;"
        " 3 of 4 calls sent again after rate_limit on this host got an answer."
    )


def test_without_data_nothing_is_estimated(story: Story, proposed: Proposed) -> None:
    """No call was ever sent again: the bounds stand, the estimate does not."""
    story.run({}, {"requests": (LIMITED,)})
    (only,) = proposed()
    assert (0.0, 0.905, None, 0) == tuple(_expected(only, "success")[k] for k in ("low", "high", "estimate", "n"))
    assert only.expected["latency"] is None


def test_retries_that_never_helped_are_not_proposed(story: Story, proposed: Proposed) -> None:
    """Ten calls were sent again and none was answered: three more requests each help nobody."""
    story.records.append(_site("other", 30))
    story.run({}, {"requests": (LIMITED,)}, *[{"site": "other", "requests": (LIMITED,) * 2, "max_retries": 1}] * 10)
    assert [] == proposed()


def test_an_answer_of_the_fallback_is_no_proof_for_retries(story: Story, proposed: Proposed) -> None:
    """A call that another model answered says nothing of asking the same one again."""
    story.records.append(_site("other", 30))
    story.run({"site": "other", "requests": (LIMITED, {"model": "m2"})}, {}, {"requests": (LIMITED,)})
    first = next(p for p in proposed() if p.site_id == "site")
    assert 0 == _expected(first, "success")["n"]


def test_enough_retries_are_not_raised_but_spread(story: Story, proposed: Proposed) -> None:
    """Lost after three retries in a row: pauses, not more of the same."""
    story.run({"max_retries": 3}, {"requests": (LIMITED,) * 4, "max_retries": 3})
    (only,) = proposed()
    assert ("backoff", None, {"initial_s": 2.0, "factor": 2.0, "max_s": 60.0, "jitter": 0.25}) == (
        *(only.knob, only.from_value, only.to_value),
    )


def test_retries_of_one_model_at_a_shared_line_are_for_that_model(story: Story, proposed: Proposed) -> None:
    """A wrapper that asks two models: only calls to the one that is limited change."""
    story.run({"model": "m2"}, {"requests": (LIMITED,)})
    (only,) = proposed()
    assert ({"site": "site", "service": None, "model": "m1"}, "m1") == (only.match, only.model)


def test_a_client_that_does_not_tell_its_retries_is_judged_by_its_requests(story: Story, proposed: Proposed) -> None:
    """No number, one request per lost call: none."""
    story.run({"max_retries": None}, {"requests": (LIMITED,), "max_retries": None})
    (only,) = proposed()
    assert (None, 3) == (only.from_value, only.to_value)


def test_what_a_retry_got_over_needs_nothing(story: Story, proposed: Proposed) -> None:
    """No call lost, nothing proposed."""
    story.run(
        {"requests": (LIMITED, OK), "max_retries": 2}, {"requests": (BUSY, OK), "max_retries": 2}, {"model": "m2"}
    )
    assert [] == proposed()


# --- storms


def test_a_storm_drops_the_inner_retries(story: Story, proposed: Proposed) -> None:
    """Three turns of three requests: no inner retries; nobody asks for more of them, not even for one model only."""
    turn = {"requests": (LIMITED,) * 3, "max_retries": 2, "body": "same"}
    story.run({"max_retries": 2, "model": "m2"}, turn, turn, turn)
    (only,) = proposed()
    assert ("retry_storm", "max_retries", 2, 0) == (only.rule, only.knob, only.from_value, only.to_value)
    latency = {"unit": "seconds per call that it happens to", "low": -6.0, "high": 0.0, "estimate": -6.0, "n": 1}
    assert latency == _expected(only, "latency")
    assert only.expected["success"] is None
    assert "9 requests for 1 question" in only.why


def test_a_storm_of_two_turns_keeps_one_retry(story: Story, proposed: Proposed) -> None:
    """An outer loop that repeats once is no full replacement; of two inner retries one stays."""
    turn = {"requests": (LIMITED,) * 3, "max_retries": 2, "body": "same"}
    story.run({"max_retries": 2}, turn, turn)
    (only,) = proposed()
    assert (2, 1, -2.0) == (only.from_value, only.to_value, _expected(only, "latency")["estimate"])


# --- futile retries


def test_futile_retries_stop_for_their_class_only(story: Story, proposed: Proposed) -> None:
    """A used-up quota is not asked again, everything else twice as before; two classes make one object."""
    pins, twice = {"max_retries": "client"}, {"max_retries": 2}
    story.run({"requests": (NO_QUOTA,) * 3, "pins": pins} | twice, {"requests": (WRONG,) * 2, "pins": pins} | twice)
    (only,) = proposed()
    assert ("futile_retry", "max_retries", "client", 2) == (only.rule, only.knob, only.site_id, only.from_value)
    assert {"other": 2, "quota": 0, "not_found": 0} == only.to_value
    assert 2 == len(only.evidence["findings"])
    assert -1.5 == _expected(only, "latency")["estimate"], "three requests of a second in two calls"


def test_a_persons_classes_are_kept(story: Story, proposed: Proposed) -> None:
    """What someone decided for one class stands beside the new one."""
    human = {"max_retries": {"quota": 0, "other": 3}}
    story.run({"requests": (WRONG,) * 2, "human": human})
    (only,) = proposed()
    assert {"quota": 0, "other": 3, "not_found": 0} == only.to_value


@pytest.mark.parametrize("status", [401, 403])
def test_what_no_policy_may_name_is_not_proposed(story: Story, proposed: Proposed, status: int) -> None:
    """Bad credentials are never retried by us, so no rule can name them."""
    story.run({"requests": ({"http_status": status},) * 2, "max_retries": 2})
    assert [] == proposed()


def test_a_loop_of_the_agents_own_is_left_alone(story: Story, proposed: Proposed) -> None:
    """The same wrong request from the code itself: a finding without a proposal."""
    story.run(*[{"requests": (WRONG,), "body": "same"}] * 3)
    assert [] == proposed()


# --- limits


def hung(**decided: Any) -> dict[str, Any]:
    """A call that its own limit ended."""
    return {"requests": (HANGS,)} | decided


def _took(*seconds: float, **decided: Any) -> list[dict[str, Any]]:
    return [{"requests": ({"took_s": s},)} | decided for s in seconds]


def test_a_tight_limit_is_doubled_where_slower_answers_were_never_seen(story: Story, proposed: Proposed) -> None:
    """Twenty answers up to 3.9 s under a limit of 4 s: 8 s, and the basis says that the 99 % are a lower bound."""
    limit = {"timeout_s": 4.0, "pins": {"timeout_s": "client"}}
    story.run(*_took(*[2 + n / 10 for n in range(20)], **limit), hung(**limit), hung(**limit))
    (only,) = proposed()
    assert ("timeout_s", 4.0, 8.0, "client") == (only.knob, only.from_value, only.to_value, only.site_id)
    assert "all 20 successful calls ended below the limit, so their 99 % are a lower bound" in only.why
    assert {"unit": "share of calls", "low": 0.0, "high": 0.278, "estimate": None, "n": 20} == _expected(
        only, "success"
    )
    assert (0.0, 1.113) == tuple(_expected(only, "latency")[k] for k in ("low", "high"))


def test_a_loose_limit_comes_down_and_the_hung_call_is_sent_again(story: Story, proposed: Proposed) -> None:
    """Twenty answers within 5 s under 600 s: 15 s at the limit's line, and retries at the line of the retries."""
    pins = {"timeout_s": "client"}
    story.run(*_took(*[n / 4 for n in range(1, 21)], pins=pins), hung(pins=pins))
    lower, retry = proposed()
    assert ("timeout_s", "client", 600.0, 15.0) == (lower.knob, lower.site_id, lower.from_value, lower.to_value)
    assert ("max_retries", "site", 0, 3) == (retry.knob, retry.site_id, retry.from_value, retry.to_value)
    latency = _expected(lower, "latency")
    assert (-132.616, -27.857, -4.947) == tuple(latency[k] for k in ("low", "estimate", "high"))
    assert lower.expected["success"] is None


def test_few_successes_change_no_limit(story: Story, proposed: Proposed) -> None:
    """Nineteen answers are no distribution to set a limit by, though the finding compares them."""
    story.run(*_took(*[2 + n / 10 for n in range(19)], timeout_s=4.0), hung(timeout_s=4.0))
    assert [] == proposed()


def test_a_limit_as_long_as_any_is_not_raised(story: Story, proposed: Proposed) -> None:
    """600 s is the longest that is ever proposed."""
    story.run(*_took(*[400.0] * 20), hung())
    assert "timeout_s" not in [p.knob for p in proposed()]


def test_a_token_limit_that_cuts_is_doubled(story: Story, proposed: Proposed) -> None:
    """Two of four answers cut at 120: 240; at most 120 tokens more each, at what the cut ones' tokens cost."""
    cut = {"requests": ({"finish_reason": "length", "output_tokens": 120, "usd": "0.0012"},), "max_tokens": 120}
    story.run(cut, cut, {"max_tokens": 120}, {"max_tokens": 120})
    (only,) = proposed()
    assert ("max_tokens", 120, 240) == (only.knob, only.from_value, only.to_value)
    assert (0.0, 0.85, None, 4) == tuple(_expected(only, "success")[k] for k in ("low", "high", "estimate", "n"))
    assert 1019.953 == _expected(only, "cost")["high"]


def test_a_limit_that_the_code_did_not_set_is_left_alone(story: Story, proposed: Proposed) -> None:
    """Cut by the model's own limit: nothing to double."""
    story.run({"requests": ({"finish_reason": "length"},)})
    assert [] == proposed()


# --- what is in force


def test_what_is_in_force_already_is_not_proposed(story: Story, proposed: Proposed) -> None:
    """The fallback a person accepted, though its first calls stand beside the lost ones."""
    other = {"on": ["overloaded"], "models": ["m2"]}
    story.run({"model": "m2", "site": "other"}, lost())
    story.run(*[{"requests": (BUSY, {"model": "m2"}), "human": {"fallback": other}}] * 2)
    story.records.append(_site("other", 30))
    assert [] == proposed()


def test_a_value_that_is_no_longer_in_force_is_not_changed(story: Story, proposed: Proposed) -> None:
    """Lost at 0, but the code says 5 since: neither 3 nor anything else."""
    story.run(lost(), lost())
    story.run(*[{"max_retries": 5}] * 20)
    assert [] == proposed()


def test_places_that_disagree_with_themselves_are_left_alone(story: Story, proposed: Proposed) -> None:
    """A line that asks with two limits in turn would get one of them raised and the other one lowered."""
    cut = {"requests": ({"finish_reason": "length", "output_tokens": 120},), "max_tokens": 120}
    story.run(*[cut, {"max_tokens": 500}] * 3, cut)
    assert [] == proposed()


def test_an_experiment_is_not_disturbed(story: Story, proposed: Proposed) -> None:
    """Where shares are being compared nobody proposes to end it."""
    story.run(lost(source="experiment"), lost(source="experiment"))
    assert [] == proposed()


def test_unknown_places_and_imported_runs_are_left_alone(story: Story, proposed: Proposed) -> None:
    """A line that never arrived can't be matched, and a file's run obeys nobody."""
    story.records = [_site("site", 0, "mini-swe-agent 1.15", "library")]
    story.run(lost(), lost(site="never arrived"))
    assert [] == proposed()


def test_a_model_that_no_policy_can_name_is_not_proposed(story: Story, proposed: Proposed) -> None:
    """A name with an address in it stays where it is."""
    story.run(lost(), {"model": "https://llm.example/m2"})
    assert [] == [p for p in proposed() if p.knob == "fallback"]


# --- of all of them


def _everything(story: Story) -> None:
    """A store in which every family has something to say."""
    for number in range(6):
        story.records.append(_site(f"s{number}", 100 + number))
    story.run({"model": "m2"}, lost(site="s0"))
    story.run({"site": "s1"}, {"site": "s1", "requests": (LIMITED,)})
    turn = {"site": "s2", "requests": (LIMITED,) * 3, "max_retries": 2, "body": "same"}
    story.run(turn, turn, turn)
    story.run({"site": "s3", "requests": (WRONG,) * 2, "max_retries": 2})
    story.run(*_took(*[n / 4 for n in range(1, 21)], site="s4"), hung(site="s4"))
    story.run({"site": "s5", "max_tokens": 9, "requests": ({"finish_reason": "length", "output_tokens": 9},)})


def test_every_proposal_is_whole(story: Story, proposed: Proposed) -> None:
    """Values that a policy takes, other than those in force; JSON throughout; a sentence of risk; no effect claimed."""
    _everything(story)
    found = proposed()
    knobs = {"fallback", "max_retries", "timeout_s", "max_tokens"}
    assert knobs == {p.knob for p in found}
    for p in found:
        check_value(p.knob, p.to_value)
        assert p.to_value != p.from_value
        assert set(METRICS) == set(p.expected)
        known = [e for e in p.expected.values() if e is not None]
        assert all(e["basis"].startswith("association: ") and e["n"] >= 0 for e in known)
        assert all((e["low"] or 0) <= (e["high"] or 0) for e in known)
        assert p.risk.endswith(".")
        assert p.evidence["calls"]
        json.dumps([p.expected, p.evidence, p.match])
        text = " ".join((p.title, p.why, p.risk)).lower()
        assert not [word for word in ("caused", "because of", "will improve", "guarantee") if word in text]


def test_there_is_one_proposal_for_a_knob_and_a_match(story: Story, proposed: Proposed) -> None:
    """Rate limits of two models at one line and lost server errors want the same retries: one proposal."""
    story.run({"requests": (LIMITED,)}, {"requests": (BROKEN,)}, {"requests": (BUSY, BUSY)})
    found = [(p.knob, json.dumps(p.match)) for p in proposed()]
    assert [("max_retries", '{"site": "site", "service": null, "model": null}')] == found


def test_the_same_store_gives_the_same_proposals(story: Story, proposed: Proposed, store: Store) -> None:
    """Asked twice the answer is the same, so that a recommendation keeps its id; and nothing is written."""
    _everything(story)
    first = proposed()
    before = store.cursor().execute("SELECT count(*) FROM recommendations").fetchall()
    con = store.cursor()
    again = recommend(con, analyze(con), Settings(home=Path("/nowhere")))
    assert first == again
    assert [(0,)] == before == store.cursor().execute("SELECT count(*) FROM recommendations").fetchall()


def test_history_proposes_nothing(story: Story, proposed: Proposed, store: Store, tmp_path: Path) -> None:
    """A finding that is no longer in force is nobody's reason to change something."""
    _everything(story)
    proposed()
    con = store.cursor()
    past = [replace(f, is_current=False) for f in analyze(con)]
    assert [] == recommend(con, past, Settings(home=tmp_path))

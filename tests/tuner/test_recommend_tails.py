"""Second requests that are proposed where few answers take many times as long as the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from trimtab_analyzer.findings import analyze
from trimtab_tracer.ingest import ingest
from trimtab_tracer.policy import check_value
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import Attempt, CallDecisions, Choice, Exchange, Process, Record, RunEnd, RunStart, Site
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.recommend import Proposal, recommend

T0 = 1_800_000_000 * 10**9
N = 600
Proposals = Callable[..., list[Proposal]]


@pytest.fixture
def proposals(settings: Settings) -> Iterator[Proposals]:
    """Proposals for ``hedge_delay_s`` after calls that took so long; facts are those of their attempts."""
    with Store.open(settings.store_path) as store:

        def told(seconds: Any, facts: Callable[[int], dict[str, Any]] = lambda n: {}, delay_s: Any = None) -> Any:
            records: list[Record] = [
                Process("p1", 1, T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", "boot"),
                Site("s1", "shop.py", "main", 12, 12, "client.chat.completions.create(...)"),
            ]
            for n, took in enumerate(seconds):
                records += _call(n, float(took), facts(n), delay_s)
            ingest(store, records, prices=PriceList())
            con = store.cursor()
            found = recommend(con, analyze(con), settings)
            return [proposal for proposal in found if proposal.knob == "hedge_delay_s"]

        yield told


def _call(n: int, took_s: float, facts: dict[str, Any], delay_s: float | None) -> list[Record]:
    run, call, start = f"r{n:05d}", f"r{n:05d}.c", T0 + n * 60 * 10**9
    tokens = facts.pop("output_tokens", 100)
    known = {"model": "m1", "http_status": 200} | facts
    attempt = Attempt(
        f"{call}.1", call, run, "p1", 1, start, int(took_s * 1e9), "openai.chat", "POST", "api.example",
        "/v1/chat/completions", "s1", known.pop("end", "complete"), **known,
    )  # fmt: skip
    told = {"output_tokens": tokens, "input_tokens": 10, "usage_source": "reported", "cost_reported_usd": "0.001"}
    choices = [Choice("max_retries", 2, "default")]
    choices += [] if delay_s is None else [Choice("hedge_delay_s", delay_s, "human")]
    return [
        RunStart(run, "p1", start, "order", "explicit"),
        attempt,
        Exchange(attempt.attempt_id, call, run, "openai.chat", "m1", **told),
        CallDecisions(call, run, "s1", start, tuple(choices)),
        RunEnd(run, start + int(took_s * 1e9), "ok", "block exit"),
    ]


def heavy(n: int = N) -> Any:
    """Two seconds as a rule, and twenty to forty in three of a hundred."""
    rng = np.random.default_rng(0)
    return np.where(rng.random(n) < 0.03, rng.uniform(20, 40, n), rng.lognormal(np.log(2), 0.3, n))


def test_a_heavy_tail_is_asked_twice_with_what_that_costs(proposals: Proposals) -> None:
    """After what one in twenty takes; latency falls, five calls in a hundred are paid twice, and all of it is an
    association."""
    (proposal,) = proposals(heavy())
    assert (proposal.rule, proposal.site_id, proposal.model, proposal.learned_by) == ("slow_tail", "s1", "m1", "rule")
    assert 2.5 <= proposal.to_value <= 4.5
    check_value("hedge_delay_s", proposal.to_value)
    latency, cost = proposal.expected["latency"], proposal.expected["cost"]
    assert latency is not None
    assert cost is not None
    assert latency["low"] < latency["estimate"] < latency["high"] < 0
    assert cost["estimate"] == pytest.approx(0.05 * 1000, rel=0.1)
    assert cost["low"] < cost["estimate"] < cost["high"]
    assert latency["basis"].startswith("association:")
    numbers = proposal.evidence["numbers"]
    assert numbers["p99_hedged_s"] < 0.7 * numbers["p99_s"]
    assert numbers["answers"] == N


@pytest.mark.parametrize(
    ("seconds", "facts"),
    [
        (np.random.default_rng(0).uniform(2.0, 3.0, N), lambda n: {}),
        (heavy(150), lambda n: {}),
        (heavy(), lambda n: {"stream": True, "ttft_ns": 10**9}),
        (heavy(), lambda n: {"output_tokens": int(100 * heavy()[n])}),
        (np.minimum(heavy(), 3.0), lambda n: {"http_status": None, "error_type": "httpx.ReadTimeout", "end": "error"}
         if heavy()[n] >= 3.0 else {}),
    ],
    ids=["a light tail", "too few", "streams", "long answers", "a limit that cuts the tail"],
)  # fmt: skip
def test_elsewhere_nothing_is_proposed(proposals: Proposals, seconds: Any, facts: Any) -> None:
    """Where it would not help, where little is known, where answers are slow for their length."""
    assert proposals(seconds, facts) == []


@pytest.mark.parametrize(("delay_s", "said"), [(3.0, 0), (12.0, 1)], ids=["as it is", "moved"])
def test_a_delay_in_force_is_followed(proposals: Proposals, delay_s: float, said: int) -> None:
    """One that fits stays; where the tail has moved by half and more another one is proposed."""
    found = proposals(heavy(), delay_s=delay_s)
    assert [proposal.from_value for proposal in found] == [delay_s] * said

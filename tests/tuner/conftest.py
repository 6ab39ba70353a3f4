"""A home of one's own, records as an agent would spool them, and a sidecar in the test's process."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from trimtab_tracer.ingest import ingest
from trimtab_tracer.policy import parse
from trimtab_tracer.policy_rules import draw
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import (
    Attempt,
    CallDecisions,
    Choice,
    Content,
    Decision,
    Exchange,
    Outcome,
    Process,
    Record,
    RunEnd,
    RunStart,
    Site,
    ToolRequest,
)
from trimtab_tracer.segments import read_boot_id
from trimtab_tracer.setting_values import PriceOverride
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Control, experiments
from trimtab_tuner.reads import fetch
from trimtab_tuner.sidecar import Sidecar
from trimtab_tuner.tune import Tuner
from trimtab_tuner.tune.begin import begin

T0 = 1_800_000_000_000_000_000
"""When the first run of :func:`some_run` starts."""
SECOND = 1_000_000_000


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of our variables, and a working directory without settings files."""
    for name in list(os.environ):
        if name.startswith("TRIMTAB_") and name != "TRIMTAB_REAL_DATA":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings(tmp_path: Path, no_variables: None) -> Settings:
    """A home that does not exist yet, any free port, and short pauses."""
    return Settings(home=tmp_path / "home", port=0, collect_interval_s=0.02, analyze_interval_s=0.05)


@pytest.fixture
def process() -> Process:
    """This process, as an agent called ``shop``."""
    return Process("p1", os.getpid(), T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", read_boot_id())


@pytest.fixture
def spool(settings: Settings, process: Process) -> Iterator[SpoolWriter]:
    """The spool as the agent writes it."""
    writer = SpoolWriter(settings.spool_dir, process, settings.spool_max_bytes)
    yield writer
    writer.close()


@pytest.fixture(scope="session")
def some_run() -> Callable[..., list[Record]]:
    """Records of run number ``n``: one call with a failed and a good attempt, content, a decision and an outcome."""
    return _some_run


@pytest.fixture(scope="session")
def refused_runs() -> Callable[..., list[Record]]:
    """Records of twelve runs of an agent, half of which ended at a rate limit with no retry: one recommendation."""
    return _refused_runs


@pytest.fixture
def unanalysed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sidecars find nothing in what they collect: for modules that are about something else, as every run of theirs is
    news, and half a second of analysis now and when the sidecar stops. Their tests of analyses use ``analysed``."""
    if "analysed" not in request.fixturenames:
        monkeypatch.setattr(Sidecar, "_find", lambda _: None)


@pytest.fixture
def analysed() -> None:
    """What is collected is analysed, though the module is about something else."""


@pytest.fixture
def sidecar(settings: Settings) -> Iterator[Sidecar]:
    """A running sidecar."""
    with Sidecar(settings) as running:
        yield running


@pytest.fixture
def api(sidecar: Sidecar) -> Iterator[httpx.Client]:
    """HTTP to the running sidecar, with its token."""
    token = sidecar.settings.token_path.read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=sidecar.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def _some_run(n: int, *, success: bool | None = None, model: str = "gpt-4o-mini", site: str = "s1") -> list[Record]:
    run, call, t = f"r{n:03d}", f"r{n:03d}.c", T0 + n * SECOND
    bad = _attempt(n, 1, model, site, end="error", http_status=429, retry_after_s=0.5)
    good = _attempt(n, 2, model, site, end="complete", http_status=200)
    exchange = Exchange(
        good.attempt_id,
        call,
        run,
        "openai.chat",
        model,
        response_model=model,
        response_id=f"chatcmpl-{n}",
        finish_reason="tool_calls",
        input_tokens=1000,
        output_tokens=100,
        usage_source="reported",
        cost_reported_usd="0.001",
        message_count=2,
        tool_requests=(ToolRequest(0, f"t{n}", "search", "d1", True),),
        tools_offered=("search",),
        params={"max_tokens": 100},
    )
    records: list[Record] = [
        RunStart(run, "p1", t, "order", "explicit", task="sell", attributes={"n": n}),
        Site(site, "shop.py", "main", 12, 12, "client.chat.completions.create(...)"),
        bad,
        good,
        exchange,
        Content(good.attempt_id, call, run, "request", t, '{"messages": []}'),
        Decision(f"{call}:model", run, "model", model, "code", site, t, call_id=call),
        RunEnd(run, t + SECOND // 2, "ok", "block exit"),
    ]
    if success is not None:
        records.append(Outcome(f"o{n}", run, t + SECOND // 2, success))
    return records


def _refused_runs(number: int = 0) -> list[Record]:
    client, line, process = f"client{number}", f"line{number}", f"agent{number}"
    records: list[Record] = [
        Process(process, 1, T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", "another boot"),
        Site(client, f"shop{number}.py", "<module>", 3, 3, "client = OpenAI(max_retries=0)"),
        Site(line, f"shop{number}.py", "main", 12, 12, "client.chat.completions.create(...)"),
    ]
    for n in range(12):
        run, t, is_good = f"{number}r{n}", T0 + n * SECOND, n % 2 == 0
        attempt = Attempt(
            f"{run}.c.1", f"{run}.c", run, process, 1, t, 5_000_000, "openai.chat", "POST", "api.openai.com",
            "/v1/chat/completions", line, "complete" if is_good else "error", model="gpt-4o-mini",
            http_status=200 if is_good else 429, max_retries=0,
        )  # fmt: skip
        chosen = (Choice("max_retries", 0, "code", client, "constructor"), Choice("model", "gpt-4o-mini", "code"))
        records += [
            RunStart(run, process, t, "order", "explicit"),
            attempt,
            CallDecisions(f"{run}.c", run, line, t, chosen),
            RunEnd(run, t + SECOND // 2, "ok" if is_good else "error", "block exit"),
            Outcome(f"{run}.o", run, t + SECOND // 2, is_good),
        ]
    return records


def _attempt(n: int, number: int, model: str, site: str, **fields: object) -> Attempt:
    at = T0 + n * SECOND + number * 10_000_000
    return Attempt(
        attempt_id=f"r{n:03d}.c.{number}",
        call_id=f"r{n:03d}.c",
        run_id=f"r{n:03d}",
        process_id="p1",
        number=number,
        ts_ns=at,
        duration_ns=5_000_000,
        api="openai.chat",
        method="POST",
        host="api.openai.com",
        path="/v1/chat/completions",
        site_id=site,
        model=model,
        **fields,  # type: ignore[arg-type]
    )


class LearningWorld:
    """A store, a control, a clock that the test moves, and an agent whose runs take a second each."""

    OWN, CHEAP = "big", "small"
    ADA = Actor("ada", "cli")

    def __init__(self, settings: Settings, store: Store) -> None:
        self.now_ns = T0
        self.lines = ("s1",)
        """Where each run draws: it makes a call at each."""
        self.prices = PriceList()
        self.is_priced = False
        self.settings, self.store = settings, store
        self.control = Control(store, settings, clock=lambda: self.now_ns)
        self.tuner = self.restarted()
        self.success = {self.OWN: 0.9, self.CHEAP: 0.9}
        self.cost_usd = {self.OWN: 0.01, self.CHEAP: 0.001}
        self.own: Callable[[int], str] = lambda number: self.OWN
        """The model that the code of a run names."""
        self.runs = 0
        self._random = random.Random(7)
        self._write([Process("p1", 1, T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", "boot")])
        for line, number in (("s1", 12), ("s2", 30)):
            self._write([Site(line, "shop.py", "main", number, number, "client.chat.completions.create(...)")])

    def restarted(self) -> Tuner:
        """The loop as a sidecar that was just started has it."""
        self.tuner = Tuner(self.store, self.control, self.settings, clock=lambda: self.now_ns)
        return self.tuner

    def priced(self, own: list[PriceOverride]) -> None:
        """From now on what a run costs follows from its tokens and these prices; a sidecar that starts reads them."""
        self.settings = replace(self.settings, prices=tuple(own))
        self.prices, self.is_priced = PriceList(own), True
        self.control = Control(self.store, self.settings, clock=lambda: self.now_ns)

    def begin(self, **goal: Any) -> str:
        """Start an experiment on the model; its id."""
        row = begin(self.control, "model", {"model": self.OWN}, [self.CHEAP], {"max_share": 0.5} | goal, actor=self.ADA)
        return str(row["experiment_id"])

    def run(self, n: int, *, says: Callable[[int], bool] = lambda number: True, batch: int = 200) -> None:
        """``n`` runs, a look of the loop after each batch; ``says`` whether a run's outcome is told at its end."""
        for start in range(0, n, batch):
            records: list[Record] = []
            for _ in range(min(batch, n - start)):
                records += self._one(says)
            self._write(records)
            self.tuner.step()

    def _one(self, says: Callable[[int], bool]) -> list[Record]:
        self.runs += 1
        self.now_ns += SECOND
        number, run = self.runs, f"r{self.runs:05d}"
        luck, calls, models = self._random.random(), [], []
        for line in self.lines:
            made, model = self._call(number, run, line)
            calls += made
            models.append(model)
        succeeded = luck < min(self.success[model] for model in models)
        tier = {"tier": "gold" if number % 2 else "free"}
        records: list[Record] = [
            RunStart(run, "p1", self.now_ns, "order", "explicit", attributes=tier),
            *calls,
            RunEnd(run, self.now_ns + SECOND // 2, "ok", "block exit"),
        ]
        self.late = getattr(self, "late", [])
        outcome = Outcome(f"{run}.o", run, self.now_ns + SECOND // 2, succeeded)
        (records if says(number) else self.late).append(outcome)
        return records

    def _call(self, number: int, run: str, line: str) -> tuple[list[Record], str]:
        """A call at ``line``, and the model that it was made with."""
        call = f"{run}.{line}"
        published = parse(self.control.published().text, self.now_ns)
        rule = published.rule("model", (line,), "shop", self.OWN)
        drawn = draw(rule, run, line) if rule is not None else None
        own = self.own(number)
        model = own if drawn is None or drawn.is_incumbent else drawn.value
        chosen = Choice("model", own, "code")
        if rule is not None and drawn is not None:
            known: dict[str, Any] = {"policy_version": published.version, "rule_id": rule.rule_id}
            known |= {"drawn": "incumbent" if drawn.is_incumbent else None}
            chosen = Choice("model", model, rule.source, propensity=drawn.propensity, **known)
        attempt = Attempt(
            f"{call}.1", call, run, "p1", 1, self.now_ns, 5_000_000, "openai.chat", "POST", "api.example",
            "/v1/chat/completions", line, "complete", model=model, http_status=200,
        )  # fmt: skip
        usd = self.cost_usd[model] * self._random.uniform(0.5, 1.5)
        told: dict[str, Any] = {"cost_reported_usd": f"{usd:.6f}"}
        if self.is_priced:
            told = {"input_tokens": round(usd * 1e6), "output_tokens": 10, "usage_source": "reported"}
        exchange = Exchange(attempt.attempt_id, call, run, "openai.chat", model, **told)
        return [attempt, exchange, CallDecisions(call, run, line, self.now_ns, (chosen,))], model

    def _write(self, records: list[Record]) -> None:
        ingest(self.store, records, prices=self.prices)

    def tell(self) -> None:
        """The outcomes that were not told before."""
        self._write(self.late)
        self.late = []

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the store says."""
        with closing(self.store.cursor()) as con:
            return fetch(con, sql)

    def events(self) -> list[str]:
        """Kinds of events, in order."""
        return [row["kind"] for row in self.rows("SELECT kind FROM campaign_events ORDER BY event_id")]

    def campaign(self) -> dict[str, Any]:
        """The only one."""
        (row,) = self.rows("SELECT c.*, e.status FROM campaigns AS c JOIN experiments AS e USING (experiment_id)")
        return row

    def share(self, model: str = CHEAP) -> float:
        """The probability with which agents now draw a model."""
        for rule in self.control.published().document["rules"]:
            for arm in rule.get("arms", ()):
                if arm.get("value") == model:
                    return float(arm["weight"])
        return 0.0


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[LearningWorld]:
    """A new one; what is learned is published at once. Ids of experiments, which seed their draws, are 1, 2, 3, …"""
    settings = replace(settings, tune_publish_interval_s=0.01)
    numbers = count(1)
    monkeypatch.setattr(experiments, "new_id", lambda: f"{next(numbers):012x}")
    with Store.open(settings.store_path) as store:
        yield LearningWorld(settings, store)

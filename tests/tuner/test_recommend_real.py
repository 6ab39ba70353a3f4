"""From a real agent on a real SDK to a proposal: what the wire shows is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer.findings import Finding, analyze
from trimtab_tracer.collect import Collector
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Provider, Scenario
from trimtab_tuner.recommend import Proposal, recommend

AGENT = """
import sys
import openai, trimtab
trimtab.instrument()
client = openai.OpenAI({client})
def ask(model, text):
    for turn in range({turns}):
        try:
            return client.chat.completions.create(model=model, messages=[{{"role": "user", "content": text}}])
        except openai.APIError:
            if turn == {turns} - 1:
                raise
for model, text in {asked}:
    with trimtab.run("ask"):
        try:
            ask(model, text)
        except openai.APIError as error:
            print(type(error).__name__)
"""
BUSY = {"status": 529, "retry_after_ms": 10}


def _work(folder: Path, scenario: dict[str, Any], **agent: Any) -> tuple[str, int, list[Finding], list[Proposal]]:
    """Run the agent against a provider; what it printed, its requests, and what is found and proposed."""
    script, home = folder / "agent.py", folder / "home"
    script.write_text(AGENT.format(**{"turns": 1, "client": ""} | agent))
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    with Provider(Scenario.from_dict(scenario)) as provider:
        env = kept | {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "scripted", "NO_PROXY": "*"}
        env |= {"TRIMTAB_HOME": str(home), "TRIMTAB_STRICT": "1"}
        ended = subprocess.run(
            [sys.executable, script], cwd=folder, env=env, capture_output=True, text=True, timeout=90, check=True
        )
        requests = len(provider.log.entries)
    settings = Settings(home=home)
    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
        con = store.cursor()
        found = analyze(con)
        return ended.stdout, requests, found, recommend(con, found, settings)


def test_loops_around_the_sdk_are_a_storm(tmp_path: Path) -> None:
    """Three turns around the SDK's own two retries: nine requests for one question, and the inner ones may go."""
    said, requests, found, proposed = _work(
        tmp_path, {"rules": [{"fault": BUSY}]}, turns=3, asked=[("gpt-x", "What is new?")]
    )
    assert ("InternalServerError\n", 9) == (said, requests)
    (storm,) = (f for f in found if f.rule == "retry_storm")
    numbers = storm.evidence["numbers"]
    assert (9, 3, 2, 9.0) == tuple(numbers[k] for k in ("requests", "sdk_loops", "outer_repeats", "requests_per_call"))
    assert ("default", 9) == (numbers["source"], storm.site.line if storm.site else None)
    assert [("max_retries", 2, 0)] == [(p.knob, p.from_value, p.to_value) for p in proposed]


def test_the_sdks_own_retries_are_none(tmp_path: Path) -> None:
    """Two refusals and an answer, and a question that is given up: one loop each, three requests each."""
    fault = {"contains": "once", "text": "Well.", "fault": BUSY | {"times": 2}}
    scenario = {"rules": [fault, {"fault": BUSY}]}
    _, requests, found, _ = _work(tmp_path, scenario, asked=[("gpt-x", "once"), ("gpt-x", "never")])
    assert (6, []) == (requests, [f for f in found if f.rule == "retry_storm"])


@pytest.mark.parametrize(("client", "line"), [("max_retries=0", 5), ("", 9)])
def test_an_overloaded_model_gets_a_fallback_at_the_line_of_the_call(tmp_path: Path, client: str, line: int) -> None:
    """Whoever decided the retries, the client or nobody: the fallback is for the line that asks."""
    scenario = {"rules": [{"model": "gpt-x", "fault": BUSY}, {"text": "Here you are."}]}
    _, _, found, proposed = _work(
        tmp_path, scenario, client=client, asked=[("gpt-x", "a"), ("gpt-x", "b"), ("gpt-y", "c")]
    )
    (lost,) = (f for f in found if f.rule == "provider_error")
    assert line == (lost.site.line if lost.site else None)
    (only,) = proposed
    assert ("fallback", 9, "gpt-x") == (only.knob, only.line, only.model)
    assert {"on": ["overloaded"], "models": ["gpt-y"]} == only.to_value

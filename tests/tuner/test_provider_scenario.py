"""Scenarios of the scripted provider: how they are read, matched and kept deterministic."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trimtab_tuner.provider
from trimtab_tuner.provider import LogEntry, Provider, Scenario, ScenarioError
from trimtab_tuner.provider.answers import FAULTS, Answer, Fault, ToolCall, UsageScript, cut
from trimtab_tuner.provider.ids import draw
from trimtab_tuner.provider.reading import APIS

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
DOCS = Path(__file__).parents[2] / "docs" / "provider.md"


def chat(text: str = "go", model: str = "gpt-x", turns: int = 0, **more: Any) -> dict[str, Any]:
    """A chat request whose conversation already has so many assistant turns."""
    history = [{"role": role, "content": "before"} for _ in range(turns) for role in ("user", "assistant")]
    return {"model": model, "messages": [*history, {"role": "user", "content": text}], **more}


def said(scenario: dict[str, Any], *requests: dict[str, Any], seed: int | None = None) -> list[str]:
    """What each request gets, in turn."""
    with Provider(Scenario.from_dict(scenario), seed=seed) as provider, httpx.Client() as client:
        for request in requests:
            client.post(f"{provider.url}/v1/chat/completions", json=request)
        return [entry.text if entry.status == 200 else str(entry.status) for entry in provider.log.entries]


def test_rules_match_on_what_was_asked() -> None:
    """The first rule whose conditions all hold answers; without one, ``otherwise`` does."""
    rules = [
        {"model": "claude-*", "text": "model"},
        {"api": "openai.responses", "text": "never here"},
        {"contains": "weather", "text": "contains"},
        {"step": [2, 3], "text": "step"},
        {"nth": 6, "text": "nth"},
        {"text": "twice", "times": 2},
    ]
    asks = [chat(model="claude-x"), chat("the weather?"), chat(turns=2), chat(turns=3), chat(), chat(), chat(), chat()]
    expected = ["model", "contains", "step", "step", "twice", "twice", "nth", "rest"]
    assert said({"rules": rules, "otherwise": {"text": "rest"}}, *asks) == expected


def test_rules_react_to_the_whole_request() -> None:
    """A rule may ask for words anywhere in the body, for their absence, for its length and for the key."""
    rules = [
        {"body": ["desk", '"temperature":1.9'], "text": "hot"},
        {"body": "desk", "body_lacks": ["strict", "tools"], "text": "bare"},
        {"body_above_chars": 400, "text": "long"},
        {"api_key": "sk-old*", "text": "old key"},
    ]
    asks = [chat("desk", temperature=1.9), chat("desk"), chat("desk", tools=[]), chat("x" * 400)]
    assert said({"rules": rules, "otherwise": {"text": "rest"}}, *asks) == ["hot", "bare", "rest", "long"]
    with Provider(Scenario.from_dict({"rules": rules, "otherwise": {"text": "rest"}})) as provider:
        for headers in ({"authorization": "Bearer sk-old-1"}, {"x-api-key": "sk-old-1"}, {"x-api-key": "sk-new"}):
            httpx.post(f"{provider.url}/v1/chat/completions", json=chat(), headers=headers)
        assert ["old key", "old key", "rest"] == [entry.text for entry in provider.log.entries]


def test_rules_react_to_what_is_under_way() -> None:
    """Requests beyond so many at once meet the rule; once others are answered, the next one does not."""
    rules = [{"in_flight_above": 2, "fault": {"status": 429}}, {"text": "in", "delay_s": 0.3}]
    with Provider(Scenario.from_dict({"rules": rules})) as provider, ThreadPoolExecutor(4) as pool:
        url = f"{provider.url}/v1/chat/completions"
        at_once = [answer.status_code for answer in pool.map(lambda _: httpx.post(url, json=chat()), range(4))]
        assert [200, 200, 429, 429] == sorted(at_once)
        assert httpx.post(url, json=chat()).status_code == 200


@pytest.mark.parametrize(
    ("path", "request_", "ended"),
    [
        ("/v1/chat/completions", chat(stop="END"), '"finish_reason":"stop"'),
        ("/v1/messages", {**chat(max_tokens=9), "stop_sequences": ["END", "no"]}, '"stop_sequence":"END"'),
        (
            "/v1beta/models/g:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "go"}]}], "generationConfig": {"stopSequences": ["END"]}},
            '"finishReason":"STOP"',
        ),
    ],
)
def test_stop_sequences_end_answers(path: str, request_: dict[str, Any], ended: str) -> None:
    """With ``honour_stop`` an answer ends before the stop sequence, and the tool calls behind it are gone."""
    rules = [{"text": "one END two", "tool_calls": [{"name": "f"}]}]
    with Provider(Scenario.from_dict({"rules": rules, "honour_stop": True})) as provider:
        answer = httpx.post(provider.url + path, json=request_).text
        (entry,) = provider.log.entries
    assert ("one ", ()) == (entry.text, entry.tool_calls)
    assert ended in answer


def test_templates_echo_the_request() -> None:
    """Known slots are filled once, in text and in arguments; other braces and echoed slots stay as they are."""
    call = {"name": "f", "arguments": {"q": "{last_user}", "deep": [{"m": "{model}"}], "raw": "{other}"}}
    scenario = {"rules": [{"text": "{n} {step} {last_user} {unknown} {}", "tool_calls": [call]}]}
    with Provider(Scenario.from_dict(scenario)) as provider:
        httpx.post(f"{provider.url}/v1/chat/completions", json=chat('say "{model}"', turns=1))
        (entry,) = provider.log.entries
    assert entry.text == '1 1 say "{model}" {unknown} {}'
    assert json.loads(entry.tool_calls[0].arguments) == {
        "q": 'say "{model}"',
        "deep": [{"m": "gpt-x"}],
        "raw": "{other}",
    }


def test_same_seed_same_bytes() -> None:
    """Two providers with the same script, seed and requests send the same bytes; another seed sends other ids."""
    scenario = Scenario.load(EXAMPLES / "tool_loop.toml")

    def bodies(seed: int) -> list[bytes]:
        with Provider(scenario, seed=seed) as provider, httpx.Client(base_url=provider.url) as client:
            return [
                client.post(path, json=chat(stream=stream, max_tokens=9, **more)).content
                for stream in (True, False)
                for path, more in (
                    ("/v1/chat/completions", {}),
                    ("/v1/messages", {}),
                    ("/v1/responses", {"input": "x"}),
                    ("/v1beta/models/g:generateContent", {"contents": [{"parts": []}]}),
                    ("/api/chat", {}),
                    ("/v1/embeddings", {"input": "x"}),
                )
            ]

    first, again, other = bodies(1), bodies(1), bodies(2)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True) if b"scripted" in a)
    assert sum(b"scripted" in a for a in first) == 7  # Ollama and embeddings have no ids, an error neither


def test_probability_takes_its_share() -> None:
    """A rule with probability .3 takes about that share, the same requests each time."""
    scenario = {"rules": [{"probability": 0.3, "text": "a"}, {"text": "b"}]}
    first, again = (said(scenario, *[chat()] * 200, seed=5) for _ in range(2))
    assert first == again
    assert 35 <= first.count("a") <= 85  # 60 expected, standard deviation 6.5


@given(st.integers(), st.integers())
def test_draws_lie_in_the_unit_interval(seed: int, part: int) -> None:
    """A draw is in [0, 1) and fixed by its inputs."""
    assert 0 <= draw(seed, part) < 1
    assert draw(seed, part) == draw(seed, part)


@given(st.text(max_size=80), st.one_of(st.none(), st.integers(1, 90)))
def test_pieces_add_up_to_the_text(text: str, chunks: int | None) -> None:
    """However a text is cut for a stream, nothing is lost, nothing is empty, and the count is kept where possible."""
    pieces = Answer(text=text, chunks=chunks).pieces()
    assert "".join(pieces) == text
    assert all(pieces)
    if chunks is not None:
        assert len(pieces) == min(chunks, len(text)) == len(cut(text, chunks))


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers(), st.none()), max_size=4))
def test_broken_arguments_never_parse(arguments: dict[str, Any]) -> None:
    """Malformed and truncated tool arguments are invalid JSON, whatever they were."""
    answer = Answer(tool_calls=(ToolCall("f", json.dumps(arguments)),))
    for kind in ("malformed_arguments", "truncate"):
        spoiled = answer.spoiled(Fault(kind)).tool_calls[0].arguments
        assert spoiled
        with pytest.raises(json.JSONDecodeError):
            json.loads(spoiled)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rulez": []}, r"scenario: there is no key 'rulez'. Did you mean 'rules'\?"),
        ({"rules": [{"txt": "x", "text": "y"}]}, r"rules\[0\]: there is no key 'txt'. Did you mean 'text'\?"),
        ({"rules": [{"text": "x"}, {"model": "m"}]}, r"rules\[1\] is .* expected a rule with text"),
        ({"rules": [{"text": 5}]}, r"rules\[0\].text is 5, expected a string"),
        ({"rules": [{"text": "x", "times": True}]}, r"rules\[0\].times is True, expected a whole number"),
        ({"rules": [{"fault": "dorp"}]}, r"rules\[0\].fault.kind is 'dorp', .* Did you mean 'drop'"),
        ({"rules": [{"fault": {"status": 200}}]}, r"rules\[0\].fault.status is 200, .* from 400 to 599"),
        ({"rules": [{"fault": {"kind": "drop", "status": 500}}]}, r"rules\[0\].fault: there is no key 'status'"),
        ({"rules": [{"text": "x", "api": "openai.chta"}]}, r"rules\[0\].api is 'openai.chta'.*'openai.chat'"),
        ({"rules": [{"text": "short", "chunks": 600}]}, r"rules\[0\].chunks is 600, .* 5 characters"),
        ({"rules": [{"tool_calls": [{"arguments": {}}]}]}, r"tool_calls\[0\].name is None, expected the name"),
        ({"rules": [{"text": "x", "usage": {"input_tokens": 1, "cached_tokens": 2}}]}, r"usage.input_tokens is 1"),
        ({"rules": [{"text": "x", "delay_s": -1}]}, r"rules\[0\].delay_s is -1, expected 0 or more"),
        ({"rules": "none"}, "scenario: rules is 'none', expected a list"),
        ({"otherwise": {"text": "x", "step": 1}}, "otherwise: there is no key 'step'"),
        ({"defaults": {"chunk": 4}}, r"defaults: there is no key 'chunk'. Did you mean 'chunks'\?"),
    ],
)
def test_what_has_no_meaning_is_refused(data: dict[str, Any], message: str) -> None:
    """Each slip is named with its place, what was expected, and the near candidates."""
    with pytest.raises(ScenarioError, match=message):
        Scenario.from_dict(data)


@pytest.mark.parametrize(("name", "content"), [("s.toml", "rules = ["), ("s.json", "{"), ("missing.toml", None)])
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | None) -> None:
    """A file that is missing or no TOML or JSON is one sentence that names it."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ScenarioError, match=rf"{name}: the scenario can't be read"):
        Scenario.load(path)


def test_the_documentation_is_true_and_complete() -> None:
    """The example in docs/provider.md runs, and every field of scenario and log is explained there."""
    text = DOCS.read_text("utf-8")
    exec(compile(text.split("```python\n")[1].split("```")[0], str(DOCS), "exec"), {})
    names = [field.name for kind in (LogEntry, Scenario, Answer, UsageScript) for field in dataclasses.fields(kind)]
    fault = {"kind", "times", "status", "retry_after_s", "retry_after_ms", "should_retry", "after_chunks", "delay_s"}
    known = (*names, *FAULTS, *fault, *APIS)
    assert [name for name in known if not re.search(rf"[`{{ ]{re.escape(name)}\b", text)] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_examples_answer(path: Path) -> None:
    """Every example scenario loads, works off its faults, and then answers."""
    scenario = Scenario.load(path)
    count = 1 + sum(fault.times or 0 for fault in scenario.rules[0].faults)
    with Provider(scenario) as provider, httpx.Client() as client:
        for _ in range(count):
            with contextlib.suppress(httpx.TransportError):
                client.post(f"{provider.url}/v1/chat/completions", json=chat(stream=True), timeout=10)
        *failed, last = provider.log.wait_for(count)
    assert [entry.fault for entry in failed] == [fault.kind for fault in scenario.rules[0].faults]
    assert (last.status, last.fault, last.finish in ("stop", "tool_calls")) == (200, None, True)


def test_it_answers_every_recorded_agent(real_data: Path) -> None:
    """Requests as seventeen frameworks sent them are understood: an answer, and a step if there was an earlier one."""
    with Provider(Scenario.from_dict({"otherwise": {"text": "ok"}})) as provider, httpx.Client() as client:
        asked = 0
        for path in sorted((real_data / "wire_samples").glob("[!_]*/[0-9]*.json")):
            sample = json.loads(path.read_text("utf-8"))
            body = sample.get("req")
            if sample.get("status") != 200 or sample["method"] != "POST" or not isinstance(body, dict):
                continue
            if (
                "jsonrpc" in body
                or "previous_response_id" in body
                or (body.get("thread") or {}).get("type") == "continue"
            ):
                continue  # MCP, and turns of conversations that this provider did not begin
            response = client.post(provider.url + sample["path"], json=body)
            assert response.status_code == 200, (path.name, response.text)
            asked += 1
        entries = provider.log.entries
    assert asked > 60
    assert {"openai.chat", "openai.responses", "anthropic.messages", "gemini", "ollama"} <= {e.api for e in entries}
    assert all(e.step for e in entries if e.tool_result_ids)


def test_it_shares_no_code_with_the_tracer() -> None:
    """The provider imports nothing of the tracer but its errors: one bug must not confirm the other."""
    package = Path(trimtab_tuner.provider.__file__).parent
    seen = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            seen |= {name for name in names if name.startswith("trimtab")}
    assert seen == {"trimtab_tracer.errors"}

"""How well recorded traffic of real frameworks comes apart again when all of it is shuffled together in one process."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from trimtab_tracer.call_graph import Call, Graph, Link
from trimtab_tracer.digests import digest
from trimtab_tracer.exchange import Captured, ExchangeBuilder
from trimtab_tracer.ingest_rows import apply_exchange, attempt_row
from trimtab_tracer.rebuild import settle
from trimtab_tracer.records import Attempt, Exchange
from trimtab_tracer.wire.formats import match
from trimtab_tracer.wire.usage import model_of

RUNS = {
    "ag2": [2],
    "aider": [4],
    "anthropic-sdk-1": [2] * 4,
    "anthropic-sdk-2": [2] * 4,
    "autogen": [2, 4],
    "crewai": [2],
    "dspy": [6],
    "google-genai_mistralai_ollama": [2, 1] * 4,
    "langchain": [2] * 5,
    "litellm": [*([2] * 10), 1],
    "llamaindex": [2, 2],
    "openai-agents": [2, 2],
    "openai-sdk-2": [2] * 5,
    "openai-sdk-3": [2] * 5,
    "pydantic-ai": [2] * 5,
    "smolagents": [4, 2],
}
"""Calls of each run in a folder's recordings, in their order."""

WITHOUT_IDS = {"aider", "dspy", "google-genai_mistralai_ollama", "litellm", "pydantic-ai"}
"""Some of their calls name no earlier one by an id. aider and dspy rewrite what was said; tool calls of Gemini and
Ollama came without ids, and as all ask and answer the same here, only the context tells them apart."""

MADE_UP = re.compile(r"\b((?:call|toolu|fcall|msg|resp|chatcmpl|fc)_0\d{5})")
"""Ids of the scripted provider, which counts anew in each recording; real ones are unique."""


class Score(NamedTuple):
    """Over pairs of calls: of those put together, how many belong together; and the other way round."""

    precision: float
    recall: float


class _Nothing:
    """A store without calls."""

    def near(self, *_: object) -> Any:
        raise AssertionError("nobody looks around")

    def calls(self, *_: object) -> list[Call]:
        return []

    def links(self, *_: object) -> list[Link]:
        return []

    def split(self, *_: object) -> set[str]:
        return set()

    def wide(self, *_: object) -> set[str]:
        return set()


def samples(folder: Path) -> Iterator[dict[str, Any]]:
    """The recorded LLM calls of a folder, with ids of their own."""
    for file in sorted(folder.glob("*.json")):
        text = MADE_UP.sub(lambda found: found[1] + digest(folder.name), file.read_text())
        sample = json.loads(text)
        if match(sample["method"], sample["path"]) is not None:
            yield sample


def call_of(sample: dict[str, Any], call_id: str, at_ns: int, builder: ExchangeBuilder) -> tuple[Call, list[Link]]:
    """A recorded call as the store would know it."""
    fmt = match(sample["method"], sample["path"])
    assert fmt is not None
    is_stream = "sse" in sample["resp"]
    answer = "".join(sample["resp"]["sse"]) if is_stream else json.dumps(sample["resp"])
    body = json.dumps(sample["req"]).encode()
    where = (fmt.api, sample["method"], "h", sample["path"], "site")
    more = {"http_status": sample["status"], "model": model_of(body, sample["path"])}
    attempt = Attempt(call_id, call_id, "run", "p", 1, at_ns, 10**7, *where, "complete", is_stream, **more)
    built = builder.build(Captured(attempt, fmt, body, answer.encode(), is_stream))
    exchange = next(record for record in built if isinstance(record, Exchange))
    row = attempt_row(attempt)
    apply_exchange(row, exchange)
    state = "waiting" if row["finish_reason"] == "tool_calls" else "answered"
    call = Call(call_id, "run", "", "p", at_ns, at_ns + 10**7, state=state, tools_digest=exchange.tools_digest)
    links = [Link(call_id, key, False) for key in exchange.links_in]
    return call, [*links, *(Link(call_id, key, True) for key in exchange.links_out)]


def shuffled(root: Path, has_contexts: bool, names: Iterable[str] = RUNS, has_traces: bool = False) -> dict[str, Score]:
    """Replay recordings at once, each run with its own pace; the scores of each framework."""
    builder, chance = ExchangeBuilder("off"), random.Random(1)
    moments: list[tuple[float, str, str | None, str | None, dict[str, Any]]] = []
    truth: dict[str, tuple[str, int]] = {}
    for framework in names:
        sizes = RUNS[framework]
        recorded = list(samples(root / framework))
        assert len(recorded) == sum(sizes), framework
        numbered = iter(enumerate(recorded))
        for run, size in enumerate(sizes):
            at, before = chance.uniform(0, 5), None
            for _ in range(size):
                number, sample = next(numbered)
                at += chance.uniform(0.1, 1)
                call_id = f"{framework}/{number:02}"
                truth[call_id] = framework, run
                trace_id = f"{framework} {run}" if has_traces else None
                moments.append((at, call_id, before if has_contexts else None, trace_id, sample))
                before = call_id
    graph = Graph(_Nothing())
    for at, call_id, before, trace_id, sample in sorted(moments, key=lambda moment: moment[0]):
        call, links = call_of(sample, call_id, int(at * 1e9), builder)
        call.after, call.trace_id = before, trace_id
        graph.put(call, links)
    settle(graph, list(graph.calls))
    found = {call_id: call.conversation_id for call_id, call in graph.calls.items()}
    return {framework: _score(framework, truth, found) for framework in names}


def _score(framework: str, truth: dict[str, tuple[str, int]], found: dict[str, str]) -> Score:
    mine = [call_id for call_id, (of, _) in truth.items() if of == framework]
    pairs = [(a, b) for a in mine for b in found if a != b]
    together = [truth[a] == truth[b] for a, b in pairs if found[a] == found[b]]
    belong = [found[a] == found[b] for a, b in pairs if truth[a] == truth[b]]
    return Score(*(sum(hits) / len(hits) if hits else 1.0 for hits in (together, belong)))


def test_calls_with_ids_come_apart_by_the_wire_alone(real_data: Path) -> None:
    """Frameworks that send ids back: every conversation is whole and pure without a word about threads or tasks."""
    names = [name for name in RUNS if name not in WITHOUT_IDS]
    assert dict.fromkeys(names, (1.0, 1.0)) == shuffled(real_data / "wire_samples", False, names)


def test_the_wire_alone_over_all(real_data: Path) -> None:
    """Only calls without ids go astray: those that ask and answer word for word the same, and rewritten histories."""
    scores = shuffled(real_data / "wire_samples", False)
    print("\n" + "\n".join(f"{name:32} {s.precision:.2f} {s.recall:.2f}" for name, s in scores.items()))
    assert {name for name, score in scores.items() if score.recall < 1} < WITHOUT_IDS


def test_traces_find_what_the_wire_does_not_say(real_data: Path) -> None:
    """With a span around each run and no contexts, every run is found: also rewritten histories and equal words."""
    assert dict.fromkeys(RUNS, (1.0, 1.0)) == shuffled(real_data / "wire_samples", False, has_traces=True)


@pytest.mark.parametrize("framework", sorted(RUNS))
def test_all_come_apart_with_their_contexts(framework: str, contexts: dict[str, Score]) -> None:
    """With what a process knows of its own threads and tasks, every framework's runs are found as they were."""
    assert (1.0, 1.0) == contexts[framework]


@pytest.fixture(scope="module")
def contexts(real_data: Path) -> dict[str, Score]:
    """Scores where each run is a context of its own."""
    return shuffled(real_data / "wire_samples", has_contexts=True)

"""Reading the spans of a provider that is the user's: nothing of theirs changes, and everything can be taken back."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Status, StatusCode

import trimtab
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import Attempt, Decision, GenAiSpan, Record, Site, ToolRun
from trimtab_tracer.redact import MARK
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tuner.provider import Provider, Scenario

Recorded = Callable[[type], list[Any]]

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.id": "id-1",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"content": "private words"}]}]',
}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """What the user's own tracing exports."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    """A provider of the user's."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def chat(provider: TracerProvider, **attributes: Any) -> None:
    """Make a span about a call, below one about an agent."""
    tracer = provider.get_tracer("users.framework")
    with (
        tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}),
        tracer.start_as_current_span("chat gpt-4o", attributes=CHAT | attributes, kind=SpanKind.CLIENT),
    ):
        pass


def processors(provider: TracerProvider) -> list[str]:
    """Class names of a provider's processors."""
    return [type(p).__name__ for p in provider._active_span_processor._span_processors]


def test_spans_become_records(recorded: Recorded, provider: TracerProvider) -> None:
    """A span about a call is recorded with its parentage, facts, run and the user's line; its messages are not."""
    trimtab.attach(provider)
    with trimtab.run("asking") as run:
        chat(provider)
    inner, outer = recorded(GenAiSpan)
    assert ("call", "chat", "gpt-4o", "id-1", 12, 3) == (
        *(inner.subject, inner.operation, inner.model, inner.response_id),
        *(inner.input_tokens, inner.output_tokens),
    )
    assert (outer.trace_id, outer.span_id, run.run_id) == (inner.trace_id, inner.parent_span_id, inner.run_id)
    assert ("agent", None, "users.framework") == (outer.subject, outer.parent_span_id, outer.scope)
    site = next(s for s in recorded(Site) if s.site_id == inner.site_id)
    assert ("chat", "user") == (site.function, site.owner)
    assert not any("private words" in repr(record) for record in recorded(object))


def test_nothing_changes_for_the_user(recorded: Recorded, provider: TracerProvider, exporter: Any) -> None:
    """The user's exporter gets the same spans with the same attributes as without us; the global one stays unset."""
    before = trace.get_tracer_provider()
    chat(provider)
    plain = [(s.name, dict(s.attributes or {})) for s in exporter.get_finished_spans()]
    exporter.clear()
    trimtab.attach(provider)
    chat(provider)
    assert plain == [(s.name, dict(s.attributes or {})) for s in exporter.get_finished_spans()]
    assert before is trace.get_tracer_provider()


def test_attached_twice_is_read_once(recorded: Recorded, provider: TracerProvider) -> None:
    """A second attach of the same provider adds nothing."""
    trimtab.attach(provider)
    trimtab.attach(provider)
    chat(provider)
    assert ["SimpleSpanProcessor", "SpanReader"] == processors(provider)
    assert 2 == len(recorded(GenAiSpan))


def test_uninstrument_takes_it_out(recorded: Recorded, provider: TracerProvider, tmp_path: Path) -> None:
    """Afterwards the provider has the processors it had, and is not read until it is attached again."""
    trimtab.attach(provider)
    trimtab.uninstrument()
    assert ["SimpleSpanProcessor"] == processors(provider)
    trimtab.instrument(home=tmp_path / "home", flush_interval_s=0.001)
    chat(provider)
    assert [] == recorded(GenAiSpan)
    trimtab.attach(provider)
    chat(provider)
    assert 2 == len(recorded(GenAiSpan))


def test_a_processor_that_can_not_be_taken_out_does_nothing(recorded: Recorded, provider: TracerProvider) -> None:
    """A provider that keeps its processors elsewhere still has ours afterwards, which is deaf and holds nothing."""

    class Elsewhere:
        def __init__(self) -> None:
            self.kept: list[Any] = []

        def add_span_processor(self, processor: Any) -> None:
            self.kept.append(processor)
            provider.add_span_processor(processor)

    holder = Elsewhere()
    trimtab.attach(holder)
    chat(provider)
    assert 2 == len(recorded(GenAiSpan))
    trimtab.uninstrument()
    assert ["SimpleSpanProcessor", "SpanReader"] == processors(provider)
    chat(provider)
    assert 2 == len(recorded(GenAiSpan))


def test_attach_before_instrument(strict: None, provider: TracerProvider, tmp_path: Path) -> None:
    """What is attached while tracing is off is read from instrument() on, and not touched where that is disabled."""
    trimtab.attach(provider)
    trimtab.instrument(home=tmp_path / "home", disabled=True)
    assert ["SimpleSpanProcessor"] == processors(provider)
    trimtab.instrument(home=tmp_path / "home")
    try:
        assert ["SimpleSpanProcessor", "SpanReader"] == processors(provider)
    finally:
        trimtab.uninstrument()


def test_an_injected_start_hands_on(strict: None, provider: TracerProvider, tmp_path: Path) -> None:
    """What was attached, and knobs that were read, before the code's own settings hold in what these start."""
    switch.on_injected(home=tmp_path / "first", flush_interval_s=0.001)
    trimtab.attach(provider)
    trimtab.attach()
    trimtab.knob("top_k", 5)
    trimtab.instrument(home=tmp_path / "second", service="desk")
    try:
        assert processors(provider).count("SpanReader") == 1
        assert hasattr(trace._set_tracer_provider, "__trimtab_original__")  # waits for the global one
        chat(provider)
    finally:
        trimtab.uninstrument()
    assert "SpanReader" not in processors(provider)
    lines = [line.record for path in list_segments(tmp_path / "second" / "spool") for line in read_segment(path)]
    assert 2 == sum(isinstance(record, GenAiSpan) for record in lines)
    decision = next(record for record in lines if isinstance(record, Decision))
    assert ("top_k", 5) == (decision.knob, decision.value)
    assert decision.site_id in {record.site_id for record in lines if isinstance(record, Site)}
    trimtab.instrument(home=tmp_path / "second")
    assert "SpanReader" not in processors(provider)  # the last `uninstrument()` forgot it
    trimtab.uninstrument()


def test_a_subclass_that_replaces_processors_keeps_its_own(recorded: Recorded) -> None:
    """Phoenix's provider drops its exporter when a processor is added: ours is added without asking it."""

    class Replacing(TracerProvider):
        def add_span_processor(self, span_processor: SpanProcessor) -> None:
            self._active_span_processor._span_processors = ()
            super().add_span_processor(span_processor)

    provider = Replacing(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    trimtab.attach(provider)
    assert ["SimpleSpanProcessor", "SpanReader"] == processors(provider)


def test_what_is_no_provider_is_said(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """Something without add_span_processor is refused with one line; nothing is raised."""
    trimtab.attach("provider")
    assert "trimtab.attach can't read str: it has no add_span_processor." in caplog.text


def test_a_provider_is_not_kept_alive(recorded: Recorded) -> None:
    """Attaching does not keep a provider from being collected."""
    provider = TracerProvider(shutdown_on_exit=False)
    trimtab.attach(provider)
    known = weakref.ref(provider)
    del provider
    gc.collect()
    assert known() is None


def test_other_spans_cost_no_record(recorded: Recorded, provider: TracerProvider) -> None:
    """A span about something else is not recorded."""
    trimtab.attach(provider)
    with provider.get_tracer("flask").start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
        pass
    assert [] == recorded(GenAiSpan)


def test_sampling_stays_the_users(recorded: Recorded) -> None:
    """A span that the user's sampler drops is dropped for us too."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    trimtab.attach(provider)
    chat(provider)
    assert [] == recorded(GenAiSpan)


def test_a_span_that_tells_late_what_it_is(recorded: Recorded, provider: TracerProvider) -> None:
    """Attributes that are set just before the end count, also of a span whose start said nothing."""
    trimtab.attach(provider)
    with provider.get_tracer("my.app").start_as_current_span("ask") as span:
        span.set_attributes({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o"})
    (found,) = recorded(GenAiSpan)
    assert ("call", "gpt-4o") == (found.subject, found.model)
    assert "test_a_span_that_tells_late_what_it_is" == next(
        s.function for s in recorded(Site) if s.site_id == found.site_id
    )


def test_the_run_is_that_of_the_start(recorded: Recorded, provider: TracerProvider) -> None:
    """A span that is ended after its run's block belongs to the run it began in."""
    trimtab.attach(provider)
    with trimtab.run("one") as run:
        span = provider.get_tracer("x").start_span("chat", attributes=CHAT)
    span.end()
    assert [run.run_id] == [s.run_id for s in recorded(GenAiSpan)]


def test_failures_are_told_without_secrets(recorded: Recorded, provider: TracerProvider) -> None:
    """Error type and message come from the status and the exception, redacted."""
    trimtab.attach(provider)
    key = "sk-proj-" + "a1B2" * 12
    tracer = provider.get_tracer("x")
    with pytest.raises(ValueError, match="bad key"), tracer.start_as_current_span("chat", attributes=CHAT):
        raise ValueError(f"bad key {key}")
    with tracer.start_as_current_span("chat", attributes=CHAT | {"error.type": "429"}) as span:
        span.set_status(Status(StatusCode.ERROR, "slow down"))
    raised, refused = recorded(GenAiSpan)
    assert ("error", "ValueError", f"bad key {MARK}") == (raised.status, raised.error_type, raised.error_message)
    assert ("error", "429", 429, "slow down") == (
        *(refused.status, refused.error_type),
        *(refused.http_status, refused.error_message),
    )


def test_tool_spans_are_executions(recorded: Recorded, provider: TracerProvider) -> None:
    """An execute_tool span is a tool run with the model's id, the digest of its arguments and its own error."""
    trimtab.attach(provider)
    tracer = provider.get_tracer("x")
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "buy", "gen_ai.tool.call.id": "call_7"}
    with tracer.start_as_current_span("execute_tool buy", attributes=said) as span:
        span.set_attribute("gen_ai.tool.call.arguments", '{"n": 1}')
    with tracer.start_as_current_span("MCP send tools/call buy", attributes={"mcp.method.name": "tools/call"}):
        pass

    @trimtab.tool
    def buy(n: int) -> str:
        return "done"

    buy(n=1)
    told, mcp, seen = recorded(ToolRun)
    assert ("buy", "ok", "call_7", "x") == (told.name, told.status, told.provider_id, told.span_scope)
    assert (seen.name, seen.args_digest) == (told.name, told.args_digest)
    assert ("buy", "unknown", None, None) == (mcp.name, mcp.status, mcp.provider_id, mcp.args_digest)
    assert seen.span_scope is None
    span_ids = {s.trace_id + s.span_id for s in recorded(GenAiSpan)}
    assert span_ids == {told.tool_run_id, mcp.tool_run_id}


@pytest.mark.parametrize("content", ["off", "full"])
def test_a_tools_error_text_is_content(strict: None, tmp_path: Path, content: str, provider: TracerProvider) -> None:
    """With content off the text of a tool's error is not kept, in neither record."""
    written: list[Record] = []
    trimtab.instrument(home=tmp_path / "home", content=content)
    try:
        trimtab.attach(provider)
        from trimtab_tracer.instrument.switch import switch

        tracer = switch.active()
        assert tracer is not None
        keep: Any = lambda record, line=None: written.append(record)  # noqa: E731
        tracer.spool.write = keep  # type: ignore[method-assign]
        span = provider.get_tracer("x").start_as_current_span("t", attributes={"traceloop.span.kind": "tool"})
        with pytest.raises(ValueError, match="words"), span:
            raise ValueError("private words")
    finally:
        trimtab.uninstrument()
    said = [record.error_message for record in written if isinstance(record, GenAiSpan | ToolRun)]
    assert [None if content == "off" else "private words"] * 2 == said


def test_an_attempt_knows_the_current_span(recorded: Recorded, provider: TracerProvider) -> None:
    """The span that is current when a request is sent is on the attempt; none is where there is none."""
    with Provider(Scenario.from_dict({})) as server, httpx2.Client() as http:
        url, body = server.url + "/v1/chat/completions", {"model": "m", "messages": []}
        http.post(url, json=body)
        with provider.get_tracer("x").start_as_current_span("mine") as span:
            http.post(url, json=body)
    outside, inside = recorded(Attempt)
    context = span.get_span_context()
    assert (None, None) == (outside.trace_id, outside.span_id)
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (inside.trace_id, inside.span_id)


def test_an_error_of_ours_is_not_the_users(
    provider: TracerProvider, exporter: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails while a span is read, the span ends and is exported as ever."""
    trimtab.instrument(home=tmp_path / "home")
    try:
        trimtab.attach(provider)
        with provider.get_tracer("x").start_as_current_span("chat", attributes=CHAT) as span:
            span._start_time = "noon"  # type: ignore[attr-defined]
    finally:
        trimtab.uninstrument()
    assert ["chat"] == [s.name for s in exporter.get_finished_spans()]
    assert "could not record something in SpanReader.on_end (TypeError" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_reads_on(strict: None, provider: TracerProvider, tmp_path: Path) -> None:
    """Spans of a forked child are recorded as that process's, and its parent's go on."""
    trimtab.instrument(home=tmp_path, flush_interval_s=0.001)
    try:
        trimtab.attach(provider)
        chat(provider)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads; the child makes none
            pid = os.fork()
        if pid == 0:
            chat(provider)
            os._exit(0)
        assert 0 == os.waitpid(pid, 0)[1]
        chat(provider)
    finally:
        trimtab.uninstrument()
    lines = [line.record for path in list_segments(tmp_path / "spool") for line in read_segment(path)]
    processes = [record.process_id for record in lines if isinstance(record, GenAiSpan)]
    assert [2, 4] == sorted(Counter(processes).values())


PROGRAMS = {
    "set before": "set_up(); import trimtab; trimtab.instrument(); trimtab.attach()",
    "set later": "import trimtab; trimtab.instrument(); trimtab.attach(); set_up()",
    "set before instrument": "import trimtab; trimtab.attach(); set_up(); trimtab.instrument()",
    "set twice": "import trimtab; trimtab.instrument(); trimtab.attach(); set_up(); set_up()",
    "imported before": "import opentelemetry.trace, trimtab; trimtab.instrument(); trimtab.attach(); set_up()",
}
SET_UP = """
import json, sys
def set_up():
    from opentelemetry.trace import set_tracer_provider
    from opentelemetry.sdk.trace import TracerProvider
    set_tracer_provider(TracerProvider())
"""
REPORT = """
from opentelemetry import trace
with trace.get_tracer("x").start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}):
    pass
names = lambda: [type(p).__name__ for p in trace.get_tracer_provider()._active_span_processor._span_processors]
during = names()
trimtab.uninstrument()
from trimtab_tracer.spool import list_segments, read_segment
from pathlib import Path
lines = [line.record for path in list_segments(Path(sys.argv[1]) / "spool") for line in read_segment(path)]
found = [r.name for r in lines if type(r).__name__ == "GenAiSpan"]
print(json.dumps([during, names(), found, trace._set_tracer_provider.__module__]))
"""


@pytest.fixture(scope="module")
def globals_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Each program in a process of its own, all at once: a global provider can be set only once in a process."""
    started = {}
    for name, program in PROGRAMS.items():
        home = str(tmp_path_factory.mktemp("home"))
        started[name] = subprocess.Popen(
            [sys.executable, "-c", f"{SET_UP}\n{program}\n{REPORT}", home],
            env=os.environ | {"TRIMTAB_HOME": home, "TRIMTAB_STRICT": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
    yield started
    for process in started.values():
        process.wait(60)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_global_provider(globals_of: dict[str, subprocess.Popen[str]], name: str) -> None:
    """Without an argument the global provider is read, whether it is set before or after, and let go of in the end."""
    out, _ = globals_of[name].communicate(timeout=60)
    assert [["SpanReader"], [], ["chat"], "opentelemetry.trace"] == json.loads(out)


def test_attach_alone_loads_no_opentelemetry(tmp_path: Path) -> None:
    """Asking for a global provider that is never set imports nothing of OpenTelemetry."""
    program = (
        "import sys, trimtab; trimtab.instrument(); trimtab.attach()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    env = os.environ | {"TRIMTAB_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()

"""Files of spans in every shape that is read become the same run: calls, tools, agents, words and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.importers import read_file, whole_runs
from trimtab_analyzer.importers.source import Document
from trimtab_analyzer.importers.spans import matches, traces
from trimtab_analyzer.steps import content_folder, steps_of
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import RunStart
from trimtab_tracer.store import Store

TRACE = "0af7651916cd43dd8448eb211c80319c"
START = 1_790_000_000_000_000_000
AGENT = {"openinference.span.kind": "AGENT"}
CALL = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-5-mini",
    "llm.token_count.prompt": 90,
    "llm.token_count.completion": 12,
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "How many boats?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "I will count them.",
}
TOOL = {"openinference.span.kind": "TOOL", "tool.name": "count", "input.value": '{"harbour": "north"}'}
SPANS: list[tuple[str, str | None, str, dict[str, Any], bool]] = [
    ("00000000000000a1", None, "Harbour.run", AGENT, False),
    ("00000000000000a2", "00000000000000a1", "llm", CALL, False),
    ("00000000000000a3", "00000000000000a1", "count", TOOL, True),
]


def _times(n: int) -> tuple[int, int]:
    """The first span is around the others, which follow each other."""
    return (
        (START, START + 10_000_000_000)
        if n == 0
        else (START + n * 1_000_000_000, START + n * 1_000_000_000 + 500_000_000)
    )


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        at = out
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return out


def otlp() -> Any:
    spans = [
        {
            "traceId": TRACE,
            "spanId": span_id,
            "parentSpanId": parent or "",
            "name": name,
            "startTimeUnixNano": str(_times(n)[0]),
            "endTimeUnixNano": str(_times(n)[1]),
            "attributes": [
                {"key": k, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
                for k, v in attributes.items()
            ],
            "status": {"code": 2, "message": "boom"} if failed else {},
        }
        for n, (span_id, parent, name, attributes, failed) in enumerate(SPANS)
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "harbour"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "oi"}, "spans": spans}]}]}


def sdk(nested: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{span_id}"},
            "parent_id": f"0x{parent}" if parent else None,
            "start_time": _iso(_times(n)[0]),
            "end_time": _iso(_times(n)[1]),
            "status_code": "ERROR" if failed else "OK",
            "status_message": "boom" if failed else "",
            "attributes": _nested(attributes) if nested else attributes,
            "resource": {"attributes": {"service.name": "harbour"}},
        }
        for n, (span_id, parent, name, attributes, failed) in enumerate(SPANS)
    ]


def javascript() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "spanContext": {"traceId": TRACE, "spanId": span_id},
            "parentSpanId": parent,
            "startTime": [_times(n)[0] // 10**9, _times(n)[0] % 10**9],
            "endTime": [_times(n)[1] // 10**9, _times(n)[1] % 10**9],
            "status": {"code": 2, "message": "boom"} if failed else {"code": 0},
            "attributes": attributes | {"service.name": "harbour"},
        }
        for n, (span_id, parent, name, attributes, failed) in enumerate(SPANS)
    ]


def flat() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "context.trace_id": TRACE,
            "context.span_id": span_id,
            "parent_id": parent,
            "start_time": _iso(_times(n)[0]),
            "end_time": _iso(_times(n)[1]),
            "status_code": "ERROR" if failed else "OK",
            "status_message": "boom" if failed else "",
            **{f"attributes.{k}": v for k, v in attributes.items()},
        }
        for n, (span_id, parent, name, attributes, failed) in enumerate(SPANS)
    ]


def tree() -> dict[str, Any]:
    spans = [
        {
            "span_id": span_id,
            "parent_span_id": parent,
            "span_name": name,
            "timestamp": _iso(_times(n)[0]),
            "duration": f"PT{(_times(n)[1] - _times(n)[0]) / 1e9:g}S",
            "span_attributes": attributes,
            "status_code": "Error" if failed else "Ok",
            "status_message": "boom" if failed else "",
            "service_name": "harbour",
            "child_spans": [],
        }
        for n, (span_id, parent, name, attributes, failed) in enumerate(SPANS)
    ]
    return {"trace_id": TRACE, "spans": [spans[0] | {"child_spans": spans[1:]}]}


def langfuse() -> dict[str, Any]:
    kinds = ("AGENT", "GENERATION", "TOOL")
    observations = [
        {
            "id": span_id,
            "traceId": TRACE,
            "parentObservationId": parent,
            "type": kinds[n],
            "name": name,
            "startTime": _iso(_times(n)[0]),
            "endTime": _iso(_times(n)[1]),
            "level": "ERROR" if failed else "DEFAULT",
            "statusMessage": "boom" if failed else None,
        }
        for n, (span_id, parent, name, _, failed) in enumerate(SPANS)
    ]
    observations[1] |= {
        "model": "gpt-5-mini",
        "usageDetails": {"input": 90, "output": 12},
        "output": "I will count them.",
    }
    observations[1] |= {"input": [{"role": "user", "content": "How many boats?"}]}
    observations[2] |= {"input": {"harbour": "north"}}
    return {"id": TRACE, "name": "Harbour.run", "observations": observations}


SHAPES: dict[str, Any] = {
    "OTLP": otlp(),
    "SDK": sdk(),
    "nested": sdk(nested=True),
    "JavaScript": javascript(),
    "by name": {"a": javascript()[:1], "b": javascript()[1:]},
    "flat": flat(),
    "tree": tree(),
    "Langfuse": langfuse(),
    "row": {"trace": json.dumps(tree()), "labels": json.dumps({"errors": []})},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for all shapes."""
    with Store.open(tmp_path_factory.mktemp("home") / "trimtab.duckdb") as opened:
        yield opened


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_the_same_run(shape: str, store: Store, tmp_path: Path) -> None:
    """Whoever exported the spans: one run, its call with tokens, agent and words, its tool that failed."""
    (run,) = read_file(write(tmp_path / "spans.json", SHAPES[shape]))
    assert ("Harbour.run", 1) == (run.name, run.calls)
    ingest(store, run.records, replace_runs=[run.run_id])
    ingest(store, run.records)
    with closing(store.cursor()) as con:
        sql = (
            "SELECT c.model, c.input_tokens, c.output_tokens, g.agent, g.agent_source, c.ended_ns - c.started_ns"
            " FROM calls AS c JOIN call_agents AS g USING (call_id)"
        )
        expected = ("gpt-5-mini", 90, 12, "Harbour.run", "span", 500_000_000)
        assert [expected] == con.execute(sql).fetchall()
        tools = con.execute("SELECT name, status, origin, error_message FROM tool_calls").fetchall()
        assert [("count", "error", "observed", "boom")] == tools
        (step,) = steps_of(con, [run.run_id], content_folder(con))[run.run_id]
    assert ("I will count them.", "How many boats?") == (step.said, step.heard)
    assert ["error"] == [action.status for action in step.actions]


def test_one_span_per_line_is_one_run(tmp_path: Path) -> None:
    """JSON lines of single spans are put together by their trace."""
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(json.dumps(span) for span in sdk()))
    (run,) = read_file(path)
    assert run.run_id == read_file(write(tmp_path / "whole.json", otlp()))[0].run_id


def test_a_trace_in_two_files_is_one_run(tmp_path: Path) -> None:
    """What two exports hold of a trace is joined to the run that one export of all would be."""
    halves = [read_file(write(tmp_path / f"{n}.json", part))[0] for n, part in enumerate((sdk()[:2], sdk()[2:]))]
    (whole,) = read_file(write(tmp_path / "0.json", sdk()))
    assert {whole.run_id} == {half.run_id for half in halves}
    assert {repr(r) for r in whole.records} == {repr(r) for r in dict(whole_runs(enumerate(halves)))[0].records}


def test_labels_stay_beside_the_run(tmp_path: Path) -> None:
    """Labels of a trace and of its spans, also those kept as text in the row around it, are annotations of the run."""
    labelled = tree() | {"annotations": [{"location": SPANS[2][0], "category": "tool"}]}
    labelled["spans"][0]["child_spans"][1]["annotations"] = [{"name": "correctness", "score": 0}]
    row = {"trace": json.dumps(labelled), "labels": json.dumps({"errors": [{"impact": "HIGH"}]})}
    (run,) = read_file(write(tmp_path / "spans.json", row))
    (start,) = [record for record in run.records if isinstance(record, RunStart)]
    assert [{"impact": "HIGH"}] == start.annotations["labels"]["errors"]
    assert SPANS[2][0] == start.annotations["annotations"][0]["location"]
    assert {SPANS[2][0]} == set(start.annotations["spans"])
    assert "HIGH" not in json.dumps(start.attributes)


def test_labels_in_a_file_of_their_own_join_the_run(tmp_path: Path) -> None:
    """A file that holds only labels is about the trace that it names, or is named after; alone it has no records."""
    (run,) = read_file(write(tmp_path / "spans.json", tree()))
    for name, value in (
        ("labels.json", {"trace_id": TRACE, "errors": [{"x": 1}]}),
        (f"{TRACE}.json", {"errors": [{"x": 1}]}),
    ):
        (labels,) = read_file(write(tmp_path / name, value))
        assert (run.run_id, ()) == (labels.run_id, labels.records)
        ((_, whole),) = whole_runs(enumerate([labels, run]))
        (start,) = [record for record in whole.records if isinstance(record, RunStart)]
        assert ({"errors": [{"x": 1}]}, run.service) == (start.annotations, whole.service)


def test_spans_about_nothing_we_know_are_named(tmp_path: Path) -> None:
    """A file of spans about other things, or without ids, is refused with what was seen in it."""
    other = [span | {"attributes": {"http.request.method": "GET"}, "name": "GET /"} for span in sdk()]
    with pytest.raises(ImportFormatError, match=r"3 spans, none of them about an LLM call, a tool or an agent .*GET /"):
        read_file(write(tmp_path / "a.json", other))
    nameless = {"spans": [{"span_id": "a" * 16, "span_name": "x"}]}
    with pytest.raises(ImportFormatError, match="names no trace"):
        read_file(write(tmp_path / "b.json", nameless))


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
FIELDS = (
    "name",
    "attributes",
    "context",
    "status",
    "start_time",
    "end_time",
    "events",
    "parent_id",
    "span_kind",
    "kind",
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.sampled_from(["abc", "0" * 16]))
def test_any_span_with_ids_is_read(junk: dict[str, Any], span_id: str) -> None:
    """Fields of any type read as absent; what has ids and a name is a span."""
    span = junk | {"name": "x", "context": {"trace_id": TRACE, "span_id": span_id}}
    assert matches(span)
    (trace,) = traces([Document(Path("x.json"), span, "", 0)])
    assert [span_id] == [found.span_id for found in trace.spans]


@pytest.mark.parametrize(
    "value", [[], {}, [{"role": "user", "content": "x", "name": "y"}], {"spans": []}, 7, {"trace": 1}]
)
def test_what_is_no_span_is_not_taken_for_one(value: Any) -> None:
    """Messages, empty lists and other objects are left to the other formats."""
    assert not matches(value)

"""``trimtab export``: a store handed to a real OTLP receiver over HTTP, and to readers of Parquet."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from trimtab.__main__ import main
from trimtab_tracer.records import HttpSpan, Process, Record, RunStart, ToolRun
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tuner.export import genai_attributes, otlp
from trimtab_tuner.export.parquet import TABLES
from trimtab_tuner.sidecar import Sidecar

T0 = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
Records = Callable[..., list[Record]]


class Receiver:
    """An OTLP/HTTP backend on the loopback."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = []
        self.statuses: list[int] = []
        """Answered in this order; 200 afterwards."""
        self.answer = ExportTraceServiceResponse()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                text = gzip.decompress(body)
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.requests.append((self.path, headers, ExportTraceServiceRequest.FromString(text)))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                said = receiver.answer.SerializeToString() if status == 200 else b""
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> list[Any]:
        """Every span received, in order."""
        resources = [resource for *_, request in self.requests for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running backend."""
    running = Receiver()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def plain(pairs: Any) -> dict[str, Any]:
    """Attributes as a mapping."""
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [each.string_value for each in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
def home(settings: Settings, spool: SpoolWriter, process: Process, some_run: Records) -> Path:
    """A home whose spool holds two runs, one within the other, with all that can be in one; a third runs on."""
    outer, inner, open_run = some_run(1, success=True), some_run(2, success=False), some_run(3)
    inner = [replace(r, parent_run_id="r001") if isinstance(r, RunStart) else r for r in inner]
    tool = ToolRun(
        "tool-1", "r001", "p1", "search", T0 + SECOND, SECOND // 10, "error", error_type="KeyError", site_id="s1"
    )
    span = HttpSpan("h1", "r001", "p1", "GET", T0 + SECOND, 5_000_000, "GET", "http://shop.test/stock", 200)
    for record in (*outer, tool, span, *inner, *open_run[:-1]):
        assert spool.write(record)
    spool.close()
    return settings.home


def test_spans_as_a_backend_receives_them(home: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """A run, its call with two attempts, its tool and its request arrive with parents, times, lines and money."""
    assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home)])
    said = capsys.readouterr().out
    assert f"Exported 2 runs as {len(receiver.spans())} spans to {receiver.url}/v1/traces." in said
    assert "1 runs have not ended" in said
    path, headers, request = receiver.requests[0]
    assert ("/v1/traces", "application/x-protobuf", "gzip") == (
        path, headers["content-type"], headers["content-encoding"],
    )  # fmt: skip
    assert plain(request.resource_spans[0].resource.attributes) | {"process.pid": 0} == {
        "service.name": "shop",
        "service.instance.id": "p1",
        "process.pid": 0,
        "process.runtime.name": "cpython",
        "process.runtime.version": "3.11",
    }
    by_name: dict[str, list[Any]] = {}
    for span in receiver.spans():
        by_name.setdefault(span.name, []).append(span)
    assert {"invoke_agent order": 2, "chat gpt-4o-mini": 2, "POST": 4, "execute_tool search": 1, "GET": 1} == {
        name: len(spans) for name, spans in by_name.items()
    }
    outer, inner = by_name["invoke_agent order"]
    assert (b"", outer.span_id, outer.trace_id) == (outer.parent_span_id, inner.parent_span_id, inner.trace_id)
    call = by_name["chat gpt-4o-mini"][0]
    attempt, second = by_name["POST"][:2]
    assert (outer.span_id, call.span_id) == (call.parent_span_id, attempt.parent_span_id)
    assert outer.start_time_unix_nano == T0 + SECOND
    assert [call.SPAN_KIND_CLIENT, call.SPAN_KIND_INTERNAL] == [call.kind, outer.kind]
    attributes = plain(call.attributes)
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "code.file.path": "shop.py",
        "code.line.number": 12,
        "code.function.name": "main",
        "trimtab.call.attempts": 2,
        "trimtab.call.cost_usd": 0.001,
        "trimtab.decision.model": "gpt-4o-mini",
        "trimtab.decision.model.source": "code",
        "trimtab.decision.model.propensity": 1.0,
    }.items() <= attributes.items()
    assert not [key for key in attributes if key.startswith("trimtab.call.re")], "texts were not asked for"
    assert ["trimtab.tool.requested"] == [event.name for event in by_name["chat gpt-4o-mini"][1].events]
    refused = plain(attempt.attributes)
    assert (429, "rate_limit") == (refused["http.response.status_code"], refused["error.type"])
    assert (attempt.status.STATUS_CODE_ERROR, 1) == (
        attempt.status.code, plain(second.attributes)["http.request.resend_count"],
    )  # fmt: skip
    ((event,), (other,)) = outer.events, inner.events
    assert ("gen_ai.evaluation.result", "pass", 1.0) == (
        event.name, *(plain(event.attributes)[f"gen_ai.evaluation.score.{key}"] for key in ("label", "value")),
    )  # fmt: skip
    assert "fail" == plain(other.attributes)["gen_ai.evaluation.score.label"]
    tool = by_name["execute_tool search"][0]
    assert (tool.status.STATUS_CODE_ERROR, "KeyError") == (tool.status.code, plain(tool.attributes)["error.type"])


def test_every_name_is_one_of_the_table(home: Path, receiver: Receiver) -> None:
    """No attribute leaves the process whose name is neither in the module of names nor our own."""
    assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home), "--content"])
    known = {value for key, value in vars(genai_attributes).items() if key.isupper() and isinstance(value, str)}
    spans = receiver.spans()
    seen = {key for span in spans for key in plain(span.attributes)}
    seen |= {key for span in spans for event in span.events for key in plain(event.attributes)}
    assert set() == {key for key in seen if not key.startswith("trimtab.")} - known
    assert ['{"messages": []}'] * 2 == [
        plain(span.attributes)["trimtab.call.request"] for span in spans if span.name.startswith("chat")
    ]


def test_names_of_the_conventions() -> None:
    """The names that the conventions' package knows are spelled as it spells them; the others are newer than it."""
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
    from opentelemetry.semconv.attributes import code_attributes, error_attributes, http_attributes, server_attributes

    modules = (gen_ai_attributes, code_attributes, error_attributes, http_attributes, server_attributes)
    published = {value for module in modules for key, value in vars(module).items() if key.isupper()}
    ours = {value for key, value in vars(genai_attributes).items() if key.isupper() and isinstance(value, str)}
    assert {
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.request.reasoning.level",
        "gen_ai.request.previous_response.id",
        "gen_ai.evaluation.result",
    } >= {name for name in ours if name.startswith("gen_ai.")} - published
    general = {name for name in ours if name.startswith(("code.", "http.", "server.", "error."))}
    assert general <= published


def test_exporting_twice_gives_the_same_spans(home: Path, receiver: Receiver) -> None:
    """Ids follow from ours, so that a backend sees nothing twice; a running sidecar answers as the home does."""
    assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home)])
    first = {(span.trace_id, span.span_id): span.SerializeToString() for span in receiver.spans()}
    receiver.requests.clear()
    with Sidecar(Settings(home=home, port=0)):
        assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home)])
    assert first == {(span.trace_id, span.span_id): span.SerializeToString() for span in receiver.spans()}
    assert len(first) == len(receiver.spans())


def test_only_the_runs_that_were_asked_for(home: Path, receiver: Receiver) -> None:
    """By id, or by when they began."""
    assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home), "--run", "002"])
    inner = receiver.spans()[0]
    assert "r002" == plain(inner.attributes)["trimtab.run.id"]
    assert b"" != inner.parent_span_id, "its parent is known, though it is not exported"
    receiver.requests.clear()
    assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home), "--since", "2031-01-01"])
    assert [] == receiver.requests


def test_headers_come_from_a_variable(
    home: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The backend gets them; a variable that is not there, and a password in the address, are refused unseen."""
    monkeypatch.setenv("BACKEND", "authorization=Basic%20c2VjcmV0,x-project=shop")
    base = ["export", "--home", str(home), "--otlp"]
    assert 0 == main([*base, f"{receiver.url}/v1/traces/", "--headers-env", "BACKEND"])
    path, headers, _ = receiver.requests[0]
    assert ("/v1/traces", "Basic c2VjcmV0", "shop") == (path, headers["authorization"], headers["x-project"])
    for argv in ([receiver.url, "--headers-env", "NOBODY"], ["http://me:secret@127.0.0.1:1"], ["shop.test"]):
        assert 2 == main([*base, *argv])
    monkeypatch.setenv("BACKEND", "secret")
    assert 2 == main([*base, receiver.url, "--headers-env", "BACKEND"])
    assert "secret" not in capsys.readouterr().err


def test_a_busy_backend_is_asked_again(
    home: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """503 is repeated and delivered once; a refusal ends the export with how far it came, in one sentence."""
    monkeypatch.setattr(otlp, "BATCH", 6)
    receiver.statuses = [503]
    assert 0 == main(["export", "--otlp", receiver.url, "--home", str(home), "--json"])
    assert 2 + 1 == len(receiver.requests)
    assert json.loads(capsys.readouterr().out)["spans"] == 10
    receiver.statuses = [200, 401]
    assert 1 == main(["export", "--otlp", receiver.url, "--home", str(home)])
    said = capsys.readouterr().err
    assert "401" in said
    assert "6 spans were delivered before that" in said


def test_what_the_backend_turns_down_is_said(
    home: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that was taken in part is no success: the exit code is 1 and the backend's own words are shown."""
    receiver.answer.partial_success.rejected_spans = 3
    receiver.answer.partial_success.error_message = "too old"
    assert 1 == main(["export", "--otlp", receiver.url, "--home", str(home)])
    assert "turned down 3 spans: too old" in capsys.readouterr().err


def test_parquet_for_everyone(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every table is a file that DuckDB and polars read, money as integers; texts only where they are asked for."""
    folder = tmp_path / "out"
    assert 0 == main(["export", "--parquet", str(folder), "--home", str(home)])
    assert f"Wrote {len(TABLES)} tables" in capsys.readouterr().out
    assert {f"{table}.parquet" for table in TABLES} == {path.name for path in folder.iterdir()}
    assert [("r001", 1000), ("r002", 1000)] == duckdb.sql(
        f"SELECT run_id, cost_musd FROM '{folder}/calls.parquet' WHERE run_id < 'r003' ORDER BY 1"
    ).fetchall()
    calls = pl.read_parquet(folder / "calls.parquet").join(pl.read_parquet(folder / "sites.parquet"), on="site_id")
    assert {("shop.py", 12)} == set(calls.select("file", "line").rows())
    argv = ["export", "--parquet", str(folder), "--home", str(home), "--run", "r001", "--content", "--json"]
    assert 0 == main(argv)
    assert "content" in json.loads(capsys.readouterr().out)["bytes"]
    assert [('{"messages": []}', "r001")] == pl.read_parquet(folder / "content.parquet").select("body", "run_id").rows()
    assert ["r001"] == pl.read_parquet(folder / "runs.parquet")["run_id"].to_list()
    assert 0o600 == (folder / "content.parquet").stat().st_mode & 0o777


def test_what_can_not_be_done_is_one_sentence(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No recording, a folder that is a file, an unknown run and a time that is none are said and not traced back."""
    (tmp_path / "file").write_text("")
    there = ["--home", str(home)]
    assert 1 == main(["export", "--parquet", str(tmp_path / "out"), "--home", str(tmp_path / "nowhere")])
    assert 1 == main(["export", "--parquet", str(tmp_path / "file"), *there])
    assert 1 == main(["export", "--parquet", str(tmp_path / "out"), "--run", "zzz", *there])
    assert 2 == main(["export", "--parquet", str(tmp_path / "out"), "--since", "soon", *there])
    assert 4 == len(capsys.readouterr().err.strip().splitlines())

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.digests import digest
from trimtab_tracer.exchange import Captured, ExchangeBuilder
from trimtab_tracer.instrument.adapters.tool_calls import reported
from trimtab_tracer.records import (
    Attempt,
    CallDecisions,
    Content,
    Decision,
    Exchange,
    Record,
    ToolRequest,
    ToolResult,
    from_dict,
    to_dict,
)
from trimtab_tracer.wire.formats import match

REJECT = "Please always provide EXACTLY ONE action in triple backticks, found 0 actions."
KEY = "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4"


class Run:
    """One agent run against one builder."""

    def __init__(self, mode: str = "redacted", path: str = "/v1/chat/completions") -> None:
        self.builder = ExchangeBuilder(mode)
        self.path = path
        self.calls = 0

    def call(self, sent: Any, came: Any, *, is_sse: bool = False, **fields: Any) -> list[Record]:
        """Records of one more call; bodies are bytes or JSON values."""
        self.calls += 1
        path = fields.pop("path", self.path)
        version = fields.pop("prompt_version", None)
        fmt = match("POST", path)
        assert fmt is not None
        attempt = Attempt(
            attempt_id=f"a{self.calls}", call_id=f"c{self.calls}", run_id="r", process_id="p", number=1,
            ts_ns=1000 * self.calls, duration_ns=10, api=fmt.api, method="POST", host="h", path=path, site_id="s",
            end="complete", http_status=200,
        )  # fmt: skip
        bodies = [b if b is None or isinstance(b, bytes) else json.dumps(b).encode() for b in (sent, came)]
        records = self.builder.build(
            Captured(replace(attempt, **fields), fmt, bodies[0], bodies[1], is_sse, prompt_version=version)
        )
        return [d for r in records for d in (r.decisions() if isinstance(r, CallDecisions) else (r,))]

    def exchange(self, sent: Any, came: Any, **fields: Any) -> Exchange:
        """The exchange of one more call."""
        found = self.call(sent, came, **fields)[0]
        assert isinstance(found, Exchange)
        return found


def asks(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": "m", "messages": list(messages), **fields}


def says(text: str | None = None, *calls: tuple[str | None, str, str]) -> dict[str, Any]:
    """A chat response with text and tool calls."""
    tools = [{"id": i, "function": {"name": n, "arguments": a}} for i, n, a in calls]
    message = {"role": "assistant", "content": text} | ({"tool_calls": tools} if tools else {})
    return {"id": "x", "model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}]}


def user(text: str) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": text}


def tool(ident: str, text: str) -> dict[str, Any]:
    """A tool result message."""
    return {"role": "tool", "tool_call_id": ident, "content": text}


def test_exchange_holds_both_sides() -> None:
    """One exchange holds what was asked, said and paid, and survives its way through the spool."""
    sent = asks(
        {"role": "system", "content": "Be brief."}, user("2+3?"), max_tokens=9, tools=[{"function": {"name": "add"}}]
    )
    came = says(None, ("t1", "add", '{"b": 3, "a": 2}')) | {"usage": {"prompt_tokens": 9, "completion_tokens": 7}}
    found = Run().exchange(sent, came)
    assert (found.model, found.response_model, found.finish_reason, found.message_count) == (
        "m",
        "m-1",
        "tool_calls",
        2,
    )
    assert (found.input_tokens, found.output_tokens, found.usage_source) == (9, 7, "reported")
    assert (found.prompt_digest, found.tools_offered) == (digest("Be brief."), ("add",))
    assert found.tool_requests == (ToolRequest(0, "t1", "add", digest('{"a":2,"b":3}'), True, None, 16),)
    assert from_dict(json.loads(json.dumps(to_dict(found)))) == found


def test_decisions_in_force() -> None:
    """The first attempt of a call states every knob: what the code set, and that the rest was left to defaults."""
    run = Run()
    found = [d for d in run.call(asks(user("x"), max_tokens=9, stop=["END"]), says("hi")) if isinstance(d, Decision)]
    values = {d.knob: (d.value, d.source) for d in found}
    assert values["model"] == ("m", "code")
    assert values["max_tokens"] == (9, "code")
    assert values["stop"] == (["END"], "code")
    assert all(values[k] == (None, "default") for k in ("temperature", "tools", "prompt_version", "stream"))
    assert "reasoning_effort" not in values
    assert {(d.decision_id, d.call_id, d.site_id) for d in found} == {(f"c1:{k}", "c1", "s") for k in values}
    again = run.call(asks(user("x")), says("hi"), number=2)
    assert not any(isinstance(d, Decision) for d in again)


def test_prompt_version_and_effort() -> None:
    """A prompt version that the user named counts instead of the digest; an effort that was set is a decision."""
    sent = asks({"role": "system", "content": "Be brief."}, user("x"), reasoning_effort="low")
    named = {d.knob: d.value for d in Run().call(sent, says(), prompt_version="v7") if isinstance(d, Decision)}
    plain = {d.knob: d.value for d in Run().call(sent, says()) if isinstance(d, Decision)}
    assert (named["prompt_version"], named["reasoning_effort"]) == ("v7", "low")
    assert plain["prompt_version"] == digest("Be brief.")


def test_embeddings_decide_a_model_only() -> None:
    """An embeddings call has no temperature to decide on."""
    found = Run().call({"model": "e", "input": ["a"]}, {"data": []}, path="/v1/embeddings")
    assert [d.knob for d in found if isinstance(d, Decision)] == ["model"]


@pytest.mark.parametrize(
    ("arguments", "is_valid"),
    [('{"a": 1}', True), ("", True), ("{}", True), ('{"a": 1', False), ("[1]", False), ("5", False), ("null", False)],
)  # fmt: skip
def test_argument_validity(arguments: str, is_valid: bool) -> None:
    """Arguments are valid when they are a JSON object or absent; what is wrong is said without quoting them."""
    found = Run().exchange(asks(user("x")), says(None, ("t", "add", arguments))).tool_requests[0]
    assert (found.args_valid, found.args_error is None, found.args_chars) == (is_valid, is_valid, len(arguments))


def test_results_are_reported_once() -> None:
    """A history that is sent again and again reports each tool result once, linked to the call that asked."""
    run = Run()
    run.call(asks(user("x")), says(None, ("t1", "add", "{}"), ("t2", "sub", "{}")))
    history = [user("x"), tool("t1", "5"), tool("t2", "KeyError: 'x'")]
    first = run.exchange(asks(*history), says(None, ("t3", "add", "{}"))).tool_results
    second = run.exchange(asks(*history, tool("t3", "9")), says("done")).tool_results
    assert first == (
        ToolResult("c1:0", 2000, "unknown", None, None, digest("5"), 1),
        ToolResult("c1:1", 2000, "error", "KeyError", "KeyError: 'x'", digest("KeyError: 'x'"), 13),
    )
    assert [r.tool_id for r in second] == ["c2:0"]
    assert run.exchange(asks(*history, tool("t3", "9"), user("more")), says("ok")).tool_results == ()


def test_a_tools_error_is_cleaned_before_it_is_cut() -> None:
    """A key that stands where the message is cut leaves no half of itself."""
    run = Run()
    run.call(asks(user("x")), says(None, ("t1", "add", "{}")))
    text = "ValueError: " + "no " * 58 + KEY
    (result,) = run.exchange(asks(user("x"), tool("t1", text)), says("done")).tool_results
    assert result.error_message is not None
    assert (True, False) == (result.error_message.startswith("ValueError: no"), KEY[:9] in result.error_message)
    assert len(result.error_message) <= 200
    message = reported(text).message
    assert message is not None
    assert (False, True) == (KEY[:9] in message, len(message) <= 200)


def test_repeated_ids_mean_the_latest_call() -> None:
    """Providers that number their calls from zero each time: the newest result is the newest call's."""
    run = Run()
    run.call(asks(user("x")), says(None, ("call_0", "add", "{}")))
    run.call(asks(user("x"), tool("call_0", "old")), says(None, ("call_0", "add", "{}")))
    found = run.exchange(asks(user("x"), tool("call_0", "old"), tool("call_0", "new")), says("ok")).tool_results
    assert [(r.tool_id, r.result_digest) for r in found] == [("c2:0", digest("new"))]


def test_results_without_ids_link_by_name_and_order() -> None:
    """Ollama's results name only the tool: in a history sent again, the newest belong to the open calls, in order."""
    run = Run(path="/api/chat")

    def answer(*names: str) -> dict[str, Any]:
        return {"done": True, "message": {"tool_calls": [{"function": {"name": n, "arguments": {}}} for n in names]}}

    def result(name: str, text: str) -> dict[str, Any]:
        return {"role": "tool", "tool_name": name, "content": text}

    run.call(asks(user("x")), answer("add", "sub", "add"))
    first = [result("add", "1"), result("sub", "2"), result("add", "3")]
    found = run.exchange(asks(user("x"), *first), answer("add")).tool_results
    assert {r.tool_id: r.result_digest for r in found} == {
        "c1:0": digest("1"),
        "c1:1": digest("2"),
        "c1:2": digest("3"),
    }
    found = run.exchange(asks(user("x"), *first, result("add", "4")), answer()).tool_results
    assert [(r.tool_id, r.result_digest) for r in found] == [("c2:0", digest("4"))]


def test_runs_do_not_mix() -> None:
    """A result is never linked to a call of another run, also when ids are the same."""
    run = Run()
    run.call(asks(user("x")), says(None, ("t1", "add", "{}")), run_id="other")
    assert run.exchange(asks(user("x"), tool("t1", "5")), says("ok")).tool_results == ()


def test_retried_attempt_asks_once() -> None:
    """When an attempt is repeated after its answer was lost, one result answers the call's one request."""
    run = Run()
    run.call(asks(user("x")), says(None, ("t1", "add", "{}")), call_id="c")
    run.call(asks(user("x")), says(None, ("t2", "add", "{}")), call_id="c", number=2)
    assert [r.tool_id for r in run.exchange(asks(tool("t2", "5")), says("ok")).tool_results] == ["c:0"]
    assert run.exchange(asks(tool("t1", "5")), says("ok")).tool_results == ()


def test_rejection_names_the_rejected_call() -> None:
    """A message that turns the last answer down names its call, however the framework trimmed the text."""
    run = Run()
    run.call(asks(user("task")), says("one\n"))
    run.call(asks(user("task")), says("I will look around. \n"))
    history = [user("task"), {"role": "assistant", "content": "I will look around."}]
    found = run.exchange(asks(*history, user(REJECT)), says("ok"))
    assert (found.rejects_call_id, found.rejection_text) == ("c2", REJECT)
    assert run.exchange(asks(*history, user("Go on.")), says("ok")).rejects_call_id is None
    assert run.exchange(asks(user(REJECT)), says("ok")).rejects_call_id is None


def test_rejected_tool_call_is_named_by_its_id() -> None:
    """An answer of tool calls that is turned down is found by their ids."""
    run = Run()
    run.call(asks(user("task")), says(None, ("t1", "add", "{oops")))
    said = {"role": "assistant", "tool_calls": [{"id": "t1", "function": {"name": "add"}}]}
    assert run.exchange(asks(user("task"), said, user(REJECT)), says("ok")).rejects_call_id == "c1"


def test_rejection_over_the_previous_response() -> None:
    """With the conversation at the provider, the rejected answer is that of the previous response."""
    run = Run(path="/v1/responses")
    said = {"type": "message", "content": [{"type": "output_text", "text": "hm"}]}
    run.call({"model": "m", "input": "task"}, {"id": "resp_1", "status": "completed", "output": [said]})
    sent = {"model": "m", "input": REJECT, "previous_response_id": "resp_1"}
    assert run.exchange(sent, {"id": "resp_2", "status": "completed", "output": []}).rejects_call_id == "c1"


def test_thread_keeps_prompt_and_tools() -> None:
    """A continued thread is under the prompt and tools of the request that it continues."""
    run = Run(path="/v1/messages")
    tools = [{"name": "add", "input_schema": {}}]
    start = {"model": "c", "system": "Be brief.", "tools": tools, "thread": {"type": "create"}, "messages": [user("x")]}
    first = run.exchange(start, {"id": "msg_1", "stop_reason": "tool_use", "content": []})
    more = {"model": "c", "thread": {"type": "continue", "previous_message_id": "msg_1"}, "messages": []}
    second = run.exchange(more, {"id": "msg_2", "stop_reason": "end_turn", "content": []})
    assert (second.tools_offered, second.tools_digest) == (("add",), first.tools_digest)
    assert (second.prompt_digest, second.previous_response_id) == (digest("Be brief."), "msg_1")


def test_content_is_redacted_and_streams_are_folded() -> None:
    """Content is valid JSON without secrets; a stream is stored as the response it adds up to."""
    stream = (
        b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"key ' + KEY.encode() + b'"}}]}\n\ndata: [DONE]\n\n'
    )
    records = Run().call(asks(user(f"my key is {KEY}"), stream=True), stream, is_sse=True)
    bodies = {r.role: r.body for r in records if isinstance(r, Content)}
    assert json.loads(bodies["request"])["messages"][0]["content"] == "my key is [REDACTED]"
    assert json.loads(bodies["response"])["choices"][0]["message"]["content"] == "key [REDACTED]"
    assert [(r.attempt_id, r.ts_ns) for r in records if isinstance(r, Content)] == [("a1", 1000), ("a1", 1010)]


@pytest.mark.parametrize(
    ("mode", "is_kept", "is_plain"), [("off", False, False), ("redacted", True, False), ("full", True, True)]
)
def test_content_modes(mode: str, is_kept: bool, is_plain: bool) -> None:
    """Off keeps no text of messages or tools, redacted keeps it without secrets, full keeps all."""
    run = Run(mode)
    run.call(asks(user("x")), says("hm", ("t1", "add", "{}")))
    said = {"role": "assistant", "content": "hm", "tool_calls": [{"id": "t1", "function": {"name": "add"}}]}
    records = run.call(asks(said, tool("t1", f"ValueError: {KEY}"), user(f"{REJECT} {KEY}")), says("ok"))
    text = json.dumps([to_dict(r) for r in records])
    assert any(isinstance(r, Content) for r in records) is is_kept
    assert ("EXACTLY ONE" in text, KEY in text) == (is_kept, is_plain)
    exchange = records[0]
    assert isinstance(exchange, Exchange)
    assert (exchange.rejects_call_id, exchange.tool_results[0].error_type) == ("c1", "ValueError")


def test_cut_stream_asks_for_no_torn_tool() -> None:
    """A stream that broke inside tool arguments asks for nothing: the model wrote no malformed arguments."""
    pieces = [{"index": 0, "id": "t1", "function": {"name": "add", "arguments": "{}"}},
              {"index": 1, "id": "t2", "function": {"name": "sub", "arguments": '{"a'}}]  # fmt: skip
    stream = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'tool_calls': pieces}}]})}\n\n".encode()
    found = Run().exchange(asks(user("x"), stream=True), stream, is_sse=True, end="error")
    assert [(t.name, t.args_valid) for t in found.tool_requests] == [("add", True)]
    assert found.finish_reason is None


@pytest.mark.parametrize(
    ("came", "message"),
    [
        ({"error": {"type": "t", "message": f"bad key {KEY}"}}, "bad key [REDACTED]"),
        ({"detail": "no such route"}, "no such route"),
        (b"<html>Bad Gateway</html>", None),
        (None, None),
    ],
)
def test_provider_errors(came: Any, message: str | None) -> None:
    """A provider's error message is kept without secrets in every mode; a page of HTML is none."""
    found = Run("off").exchange(asks(user("x")), came, http_status=502)
    assert (found.provider_error_message, found.usage_source) == (message, "unknown")
    assert found.finish_reason == ("error" if message else None)


def test_json_where_a_stream_was_announced() -> None:
    """An error that comes as JSON under a stream's content type is read, and so is a stream that nothing announced."""
    error = {"error": {"type": "server_error", "message": "boom"}}
    assert Run().exchange(asks(user("x")), error, is_sse=True, http_status=500).provider_error_type == "server_error"
    stream = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    assert Run().exchange(asks(user("x")), stream).finish_reason == "stop"


def test_unreadable_request_decides_nothing() -> None:
    """Without a readable request no decision is claimed, and the response is read all the same."""
    records = Run().call(None, says("hi"), model="from-url")
    assert isinstance(records[0], Exchange)
    assert (records[0].model, records[0].output_chars) == ("from-url", 2)
    assert not any(isinstance(r, Decision) for r in records)


def test_memory_is_bounded() -> None:
    """Runs beyond the limit are forgotten, the oldest first."""
    run = Run()
    for number in range(ExchangeBuilder.MAX_RUNS + 1):
        run.call(asks(user("x")), says(None, ("t1", "add", "{}")), run_id=f"r{number}")
    assert run.exchange(asks(tool("t1", "5")), says("ok"), run_id="r0").tool_results == ()
    assert len(run.exchange(asks(tool("t1", "5")), says("ok"), run_id="r99").tool_results) == 1


PATHS = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/models/g:generateContent",
    "/api/chat",
    "/v1/embeddings",
]
SCALAR = st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["user", "tool", REJECT])
NAMES = ["messages", "role", "content", "tool_calls", "input", "choices", "message", "error", "tools", "stop", "usage"]
JSON = st.recursive(
    SCALAR,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(NAMES), v, max_size=4),
    max_leaves=10,
)
BODY = st.none() | st.binary(max_size=60) | JSON


def no_constant(name: str) -> None:
    """Refuse what Python reads as JSON and JSON does not know."""
    raise AssertionError(name)


@given(calls=st.lists(st.tuples(st.sampled_from(PATHS), BODY, BODY, st.booleans()), max_size=4))
def test_odd_bodies_never_raise(calls: list[tuple[str, Any, Any, bool]]) -> None:
    """Any bodies in any order yield records that can be written, read back and stored as UTF-8."""
    run = Run()
    for path, sent, came, is_sse in calls:
        for record in run.call(sent, came, path=path, is_sse=is_sse):
            line = json.dumps(to_dict(record), allow_nan=False, ensure_ascii=False)
            assert line.encode()
            assert from_dict(json.loads(line)) == record
            if isinstance(record, Content):
                json.loads(record.body, parse_constant=no_constant)


@pytest.mark.parametrize("mode", ["redacted", "off"])
def test_no_secret_in_what_is_kept_of_names_and_parameters(mode: str) -> None:
    """A key among stop texts, tool names, ids or error types reaches no record, in its parameters or decisions."""
    tools = [{"type": "function", "function": {"name": f"t {KEY}"}}]
    came = says(None, (f"x {KEY}", f"call {KEY}", "{}")) | {"id": KEY, "model": KEY}
    came["choices"][0]["finish_reason"] = f"because {KEY} " + "x" * 5000
    records = Run(mode).call(asks(user("x"), stop=[KEY, "END"], tools=tools, tool_choice=KEY), came)
    records += Run(mode).call(asks(user("x")), {"error": {"type": KEY, "code": KEY, "message": KEY}}, http_status=400)
    kept = [json.dumps(to_dict(r)) for r in records if not isinstance(r, Content)]
    assert len(kept) > 10
    assert not [text for text in kept if KEY[8:] in text or "x" * 300 in text]


def test_texts_of_parameters_are_not_kept_with_content_off() -> None:
    """With content ``off`` stop texts are a count and a digest, and prose in the place of a name is a digest."""
    said = says(None, ("i", "the customer is Ann", "{}"), ("j", "add two", "{}"), ("k", "no_such_tool", "{}"))
    said["choices"][0]["finish_reason"] = "Ann asked to stop"
    tools = [{"type": "function", "function": {"name": "add two"}}]
    records = Run("off").call(asks(user("x"), stop=["Ann", "Bob"], tools=tools), said)
    exchange = next(r for r in records if isinstance(r, Exchange))
    (stop,) = (d.value for d in records if isinstance(d, Decision) and d.knob == "stop")
    assert stop == exchange.params["stop"] == {"count": 2, "digest": digest('["Ann","Bob"]')}
    assert ["add two", "no_such_tool"] == [r.name for r in exchange.tool_requests[1:]]
    assert not [r for r in records if "Ann" in json.dumps(to_dict(r))]

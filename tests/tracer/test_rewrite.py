"""Another model or limit in a request: exactly that changes, and what must not be touched is not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab_tracer import rewrite
from trimtab_tracer.conversations import Conversations, conversation, response_id_in
from trimtab_tracer.decisions import Order, Pin
from trimtab_tracer.rewrite import Draft
from trimtab_tracer.sites import UNKNOWN

URL = "http://provider.test"
GEMINI = "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "ho"}


def asked(body: Any, path: str = "/v1/chat/completions", api: str = "openai.chat", **headers: str) -> Draft | None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = httpx2.Request("POST", URL + path, content=content, headers=headers)
    return rewrite.draft(api, request, content)


def with_model(body: Any, path: str = "/v1/chat/completions", api: str = "openai.chat") -> tuple[str, Any] | None:
    """Path and body after the model was changed to "new"."""
    draft = asked(body, path, api)
    changed = draft.with_model("new") if draft is not None else None
    return (changed.raw_path.decode(), json.loads(changed.content())) if changed is not None else None


def with_limit(body: Any, api: str) -> Any:
    draft = asked(body, api=api)
    changed = draft.with_max_tokens(99) if draft is not None else None
    return changed.body if changed is not None else None


def test_model_in_the_body() -> None:
    """The top-level model changes; a model that a tool or a message speaks of does not."""
    body = {"messages": [{"role": "user", "content": '{"model": "x"}'}], "model": "old", "tools": [{"model": "old"}]}
    assert ("/v1/chat/completions", {**body, "model": "new"}) == with_model(body)


def test_model_in_the_path() -> None:
    """Gemini and Vertex name the model in the path: there it changes, the verb and the query stay."""
    assert (GEMINI.replace("gemini-3-pro", "new"), {"contents": []}) == with_model({"contents": []}, GEMINI, "gemini")
    vertex = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-5@20260101:rawPredict"
    changed = with_model({"max_tokens": 5}, vertex, "anthropic.messages")
    assert (vertex.replace("claude-5@20260101", "new"), {"max_tokens": 5}) == changed


@pytest.mark.parametrize(
    ("body", "path", "api"),
    [
        ({"model": "old"}, "/openai/deployments/mine/chat/completions", "openai.chat"),
        ({"model": "old", "input": "x"}, "/v1/embeddings", "openai.embeddings"),
        ({"model": "models/old"}, GEMINI, "gemini"),
        ({"contents": []}, "/v1beta/tunedModels/mine:generateContent", "gemini"),
        ({"model": 7}, "/v1/chat/completions", "openai.chat"),
        ({}, "/v1/chat/completions", "openai.chat"),
        ([{"model": "old"}], "/v1/chat/completions", "openai.chat"),
        (b'{"model": "old", "model": "older"}', "/v1/chat/completions", "openai.chat"),
        (b'{"model": "old", "temperature": NaN}', "/v1/chat/completions", "openai.chat"),
        (b'{"model": "old", "temperature": 1e999}', "/v1/chat/completions", "openai.chat"),
        ('{"model": "old"}'.encode("utf-16"), "/v1/chat/completions", "openai.chat"),
        (b'\xef\xbb\xbf{"model": "old"}', "/v1/chat/completions", "openai.chat"),
        (b'{"model": "old", "x": "\xff"}', "/v1/chat/completions", "openai.chat"),
        (b"model=old", "/v1/chat/completions", "openai.chat"),
        (b"", "/v1/chat/completions", "openai.chat"),
    ],
)
def test_model_that_stays(body: Any, path: str, api: str) -> None:
    """Deployments, embeddings, tuned models, and bodies that readers may take in two ways keep what they ask for."""
    assert with_model(body, path, api) is None


def test_name_that_is_no_part_of_a_path_stays_out_of_it() -> None:
    """A model whose name would add a folder or another verb to the path is not put there."""
    draft = asked({}, GEMINI, "gemini")
    assert draft is not None
    assert [None, None] == [draft.with_model(name) for name in ("publishers/x", "other:countTokens")]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu/bedrock/aws4_request"},
        {"x-amz-date": "20260101T000000Z"},
        {"Content-Digest": "sha-256=:x:"},
        {"Digest": "x"},
        {"Content-MD5": "x"},
        {"Signature": "x"},
        {"content-encoding": "gzip"},
    ],
)
def test_signed_and_packed_requests_stay(headers: dict[str, str]) -> None:
    """Whoever vouches for a body, or packs it, gets it to the provider as it is."""
    assert asked({"model": "old"}, **headers) is None
    assert asked({"model": "old"}, authorization="Bearer key") is not None


@pytest.mark.parametrize(
    ("api", "body", "changed"),
    [
        ("openai.chat", {"max_tokens": 5, "n": 1}, {"max_tokens": 99, "n": 1}),
        ("openai.chat", {"max_completion_tokens": 5}, {"max_completion_tokens": 99}),
        ("openai.responses", {"max_output_tokens": 5}, {"max_output_tokens": 99}),
        ("anthropic.messages", {"max_tokens": 5}, {"max_tokens": 99}),
        (
            "gemini",
            {"generationConfig": {"topK": 1, "maxOutputTokens": 5}},
            {"generationConfig": {"topK": 1, "maxOutputTokens": 99}},
        ),
        ("gemini", {"generation_config": {"max_output_tokens": 5}}, {"generation_config": {"max_output_tokens": 99}}),
        ("ollama", {"options": {"num_predict": 5}}, {"options": {"num_predict": 99}}),
        ("openai.chat", {"max_tokens": None}, None),
        ("openai.chat", {"max_tokens": True}, None),
        ("openai.responses", {"max_tokens": 5}, None),
        ("gemini", {"generationConfig": []}, None),
        ("anthropic.messages", {"max_tokens": 500, "thinking": {"type": "enabled", "budget_tokens": 99}}, None),
    ],
)
def test_limit_changes_where_the_request_sets_one(api: str, body: Any, changed: Any) -> None:
    """Each API's own field, only where it is a number already, and never below what thinking alone may use."""
    assert changed == with_limit(body, api)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_new_request_differs_in_nothing_else(module: Any) -> None:
    """Class, method, headers and their order, extensions and URL are kept; the length fits the new body."""
    request = module.Request(
        "POST",
        URL + "/v1/x?q=1",
        json={"model": "ü"},
        headers={"X-One": "1", "Authorization": "k"},
        extensions={"a": 1},
    )
    content = '{"model":"größer"}'.encode()
    made = rewrite.remade(request, content=content, timeout={"read": 1.0}, retry_count=3)
    assert type(request) is type(made)
    assert (content, str(len(content))) == (made.content, made.headers["content-length"])
    kept = [(k, v) for k, v in request.headers.raw if k.lower() != b"content-length"]
    assert kept == [(k, v) for k, v in made.headers.raw if k.lower() != b"content-length"]
    assert [k for k, _ in request.headers.raw] == [k for k, _ in made.headers.raw]
    assert (request.method, request.url) == (made.method, made.url)
    assert {"a": 1, "timeout": {"read": 1.0}} == made.extensions
    assert {"a": 1} == request.extensions


def test_body_that_can_be_read_once_is_handed_over() -> None:
    """Other timeouts reach a request whose body is a generator, and the body stays unread."""
    request = httpx2.Request("POST", URL, content=iter([b"a", b"b"]))
    made = rewrite.remade(request, timeout={"read": 1.0})
    assert made.stream is request.stream
    assert "chunked" == made.headers["transfer-encoding"]


def test_timeouts() -> None:
    """Reading and writing get the limit; connecting gets no longer than before; no limit on the pool stays none."""
    sdk = {"connect": 5.0, "read": 600, "write": 600, "pool": 600}
    assert {"connect": 5.0, "read": 9, "write": 9, "pool": 9} == rewrite.timeouts(sdk, 9)
    assert {"connect": 2, "read": 2, "write": 2, "pool": 2} == rewrite.timeouts(sdk, 2)
    none = dict.fromkeys(("connect", "read", "write", "pool"))
    assert {"connect": 9, "read": 9, "write": 9, "pool": None} == rewrite.timeouts(none, 9)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.booleans())
def test_everything_but_the_model_comes_back(body: dict[str, Any], ascii_only: bool) -> None:
    """Any body is the same JSON afterwards, its keys in the same order, with the model changed."""
    content = json.dumps({**body, "model": "old"}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    draft = asked(content)
    if draft is None:  # what is no UTF-8
        assert not ascii_only
        return
    changed = draft.with_model("new")
    assert changed is not None
    back = json.loads(changed.content())
    assert {**body, "model": "new"} == back
    assert list({**body, "model": "old"}) == list(back)


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(content: bytes) -> None:
    """A body that is anything at all never raises."""
    for api in ("openai.chat", "openai.responses", "gemini", "ollama"):
        draft = asked(content, api=api)
        assert draft is None or draft.with_max_tokens(5) is None or draft.has_max_tokens


@given(st.dictionaries(st.sampled_from(["messages", "input", "contents", "thread", "system", "thinking"]), JSON))
@example({"messages": [{"role": []}], "input": [{"role": "assistant", "content": [{"type": {"of": "a schema"}}]}]})
def test_any_conversation_is_survived(body: dict[str, Any]) -> None:
    """Odd turns are no turns; nothing raises."""
    for api in ("openai.chat", "openai.responses", "anthropic.messages", "gemini", "ollama"):
        talk = conversation(api, body)
        assert talk.is_bound or not talk.is_elsewhere
        draft = asked(body, api=api)
        assert draft is None or draft.with_max_tokens(5) is None  # none of these sets a limit


def bound(api: str, **body: Any) -> tuple[bool, bool]:
    """Whether a conversation goes on, and whether it is bound to its model."""
    talk = conversation(api, body)
    return talk.is_continued, talk.is_bound


def test_conversations_are_told_from_beginnings() -> None:
    """An answer of a model among the turns makes a conversation, in every API."""
    assert (False, False) == bound("openai.chat", messages=[{"role": "system", "content": "s"}, USER])
    assert (True, False) == bound("openai.chat", messages=[USER, SAID, USER])
    assert (False, False) == bound("openai.responses", input="hi")
    assert (True, False) == bound("openai.responses", input=[USER, {"type": "function_call", "name": "f"}])
    assert (True, False) == bound("gemini", contents=[{"parts": []}, {"role": "model", "parts": [{"text": "ho"}]}])
    assert (True, False) == bound("ollama", messages=[USER, SAID])


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("openai.responses", {"input": "x", "previous_response_id": "resp_1"}),
        ("openai.responses", {"input": "x", "conversation": "conv_1"}),
        ("openai.responses", {"input": [{"type": "reasoning", "id": "rs_1"}, USER]}),
        ("openai.responses", {"input": [{"type": "item_reference", "id": "msg_1"}, USER]}),
        ("openai.responses", {"input": [{"type": "message", "content": [{"encrypted_content": "x"}]}, USER]}),
        ("anthropic.messages", {"messages": [USER], "thread": {"type": "continue", "previous_message_id": "m"}}),
        ("anthropic.messages", {"messages": [USER], "container": "c"}),
        ("anthropic.messages", {"messages": [USER, {"role": "assistant", "content": [{"type": "redacted_thinking"}]}]}),
        (
            "anthropic.messages",
            {"messages": [USER, {"role": "assistant", "content": [{"type": "thinking", "signature": "x"}]}]},
        ),
        ("gemini", {"contents": [{"role": "model", "parts": [{"functionCall": {}, "thoughtSignature": "x"}]}]}),
        ("gemini", {"contents": [{"parts": []}], "cachedContent": "cachedContents/1"}),
    ],
)
def test_what_belongs_to_one_model_is_seen(api: str, body: dict[str, Any]) -> None:
    """Kept responses, threads, caches, signed thoughts and encrypted reasoning bind a conversation to its model."""
    assert bound(api, **body)[1]


def test_conversation_is_known_again_by_its_opening() -> None:
    """Cache marks, and one text written as a list of parts, do not hide it; another question or system does."""
    parts = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    first, later, other, elsewhere = (
        conversation("anthropic.messages", body).keys
        for body in (
            {"system": "s", "messages": [USER]},
            {"system": "s", "messages": [parts, SAID, USER]},
            {"system": "s", "messages": [{"role": "user", "content": "who?"}]},
            {"system": "t", "messages": [USER]},
        )
    )
    gemini = [{"systemInstruction": {"parts": [{"text": s}]}, "contents": [{"parts": [{"text": "hi"}]}]} for s in "st"]
    one, two = (conversation("gemini", body).keys for body in gemini)
    assert (one[0] != two[0], one[1], ()) == (True, two[1], conversation("openai.responses", {"input": [{}]}).keys)
    assert first == later
    assert first[0] not in other + elsewhere
    assert (first[1] in elsewhere, first[1] in other) == (True, False)


def order(value: str) -> Order:
    return Order("model", value, False, 1.0, "human", 1, "rule", Pin(UNKNOWN, "code", "call"))


def test_same_words_with_two_models_are_told_by_the_rest() -> None:
    """Two agents asked alike are told apart by their systems; where these change, too, neither's model is guessed."""
    known = Conversations()
    known.remember("run", order("a"), ("whole:1", "user:x"))
    assert order("a") == known.began_with("run", ("rule",), ("whole:9", "user:x"))
    known.remember("run", order("b"), ("whole:2", "user:x"))
    assert order("a") == known.began_with("run", ("rule",), ("whole:1", "user:x"))
    assert [None, None, None] == [
        known.began_with(run, (rule,), ("whole:9", "user:x"))
        for run, rule in (("run", "rule"), ("other", "rule"), ("run", "other"))
    ]


def test_memory_of_conversations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten; those that go on are not the oldest."""
    monkeypatch.setattr("trimtab_tracer.conversations.MAX_KEPT", 3)
    known = Conversations()
    for n in range(3):
        known.remember("run", order("a"), (f"whole:{n}",))
    known.began_with("run", ("rule",), ("whole:0",))
    known.remember("run", order("a"), ("whole:3",))
    assert [True, False, True, True] == [
        known.began_with("run", ("rule",), (f"whole:{n}",)) is not None for n in range(4)
    ]


def test_id_of_a_kept_response_is_found_in_its_first_bytes() -> None:
    """Plain or as the first event of a stream; without one there is nothing to go on from."""
    assert "resp_1a" == response_id_in(b'{"id": "resp_1a", "object": "response"}')
    assert "resp_2" == response_id_in(b'event: response.created\ndata: {"response":{"id":"resp_2"}}')
    assert [None, None] == [response_id_in(head) for head in (b"", b'{"id": "resp_cut')]

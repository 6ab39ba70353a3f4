"""``endpoint``: calls that go to another place of the same wire format, and what must not go along."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai
import pytest

import trimtab
from trimtab_tracer.instrument.switch import switch

USER: Any = {"role": "user", "content": "hi"}
OTHER = {"knob": "endpoint", "value": "other"}
OWN_KEY, OTHER_KEY = "own-key-0123456789", "other-key-0123456789"


@pytest.fixture
def places(agent: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The agent's provider and the other one, each of which takes its own key alone."""
    own = agent.provider({"api_key": OWN_KEY, "text": "own"})
    other = agent.provider({"api_key": OTHER_KEY, "text": "other"})
    monkeypatch.setenv("OTHER_KEY", OTHER_KEY)
    agent.home.mkdir()
    lines = [
        *("[endpoints.other]", f'base_url = "{other.url}/v1"', 'key_env = "OTHER_KEY"'),
        *("[endpoints.bare]", f'base_url = "{other.url}"', 'key_env = "OTHER_KEY"'),
        *("[endpoints.keyless]", f'base_url = "{other.url}/v1"', 'key_env = "NO_SUCH_KEY"'),
    ]
    (agent.home / "trimtab.toml").write_text("\n".join(lines))
    return own, other


def chat(own: Any, messages: Any = (USER,), **client: Any) -> str:
    """The answer's text."""
    with openai.OpenAI(base_url=own.url + "/v1", api_key=OWN_KEY, **client) as made:
        answer = made.chat.completions.create(model="m", messages=list(messages))
        return str(answer.choices[0].message.content)


def test_call_goes_elsewhere_with_another_key(agent: Any, places: tuple[Any, Any]) -> None:
    """Path, body and model are the code's; key, organization and headers of its own stay at home."""
    own, other = places
    agent.obey(OTHER)
    secrets = {"x-team-token": "secret-team-token", "cookie": "a=b"}
    assert "other" == chat(own, organization="org-1", default_headers=secrets)
    (entry,) = other.log.entries
    assert () == own.log.entries
    assert ("/v1/chat/completions", "m") == (entry.path, entry.model)
    kept = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"}
    assert {"authorization"} == {name for name in entry.headers if not name.startswith("x-stainless")} - kept
    assert other.url.endswith(entry.headers["host"])
    assert [("other", "human", 1.0, 1)] == agent.decisions("endpoint")
    (attempt,) = agent.attempts()
    assert other.url.endswith(attempt.host)


def test_anthropic_and_gemini_go_elsewhere(agent: Any, places: tuple[Any, Any]) -> None:
    """Each format takes its key where it has it, and a key in the agent's address does not go along."""
    own, other = places
    agent.obey({"knob": "endpoint", "value": "bare"})
    with anthropic.Anthropic(base_url=own.url, api_key=OWN_KEY) as client:
        said = client.messages.create(model="m", max_tokens=9, messages=[USER]).content[0].text
    gemini: Any = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    with httpx2.Client() as http:
        http.post(f"{own.url}/v1beta/models/g:generateContent?key={OWN_KEY}&alt=json", json=gemini)
    assert "other" == said
    assert ["/v1/messages", "/models/g:generateContent?alt=json"] == [entry.path for entry in other.log.entries]
    assert () == own.log.entries


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/responses", {"input": "x"}, {}),
        ("/v1/responses", {"input": "x", "store": False, "previous_response_id": "resp_1"}, {}),
        ("/v1/responses", {"input": [{"type": "input_file", "file_id": "f"}], "store": False}, {}),
        ("/v1/messages", {"max_tokens": 9, "messages": [USER], "container": "box"}, {}),
        ("/v1/chat/completions", {"messages": [USER]}, {"x-amz-date": "x"}),
        ("/v1/chat/completions?api-version=3", {"messages": [USER]}, {}),
        ("/v1/chat/completions", {"messages": [USER, {"role": "assistant", "content": "ho"}, USER]}, {}),
        ("/v1/embeddings", {"input": "x"}, {}),
    ],
)
def test_what_is_tied_to_its_provider_stays(
    agent: Any, places: tuple[Any, Any], path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """Server-side conversations, files, signed requests, unknown queries and conversations under way stay at home."""
    own, other = places
    agent.obey(OTHER, {"knob": "endpoint", "value": "bare", "match": {"model": "claude"}})
    with httpx2.Client(headers={"authorization": f"Bearer {OWN_KEY}", **headers}) as http:
        http.post(own.url + path, json={"model": "claude" if "messages" in path else "m", **body})
    assert (1, 0) == (len(own.log.entries), len(other.log.entries))
    assert [] == agent.decisions("endpoint")


@pytest.mark.parametrize("kind", ["auth", "hook", "transport"])
def test_client_that_adds_something_stays(agent: Any, places: tuple[Any, Any], kind: str) -> None:
    """What a client signs, hooks or sends in a way of its own would tell another host what it must not know."""
    own, other = places

    class Through(httpx2.HTTPTransport):
        """The agent's own."""

    ways: dict[str, Any] = {
        "auth": {"auth": ("me", "secret")},
        "hook": {"event_hooks": {"request": [lambda request: None]}},
        "transport": {"transport": Through()},
    }
    agent.obey(OTHER)
    with httpx2.Client(**ways[kind]) as http:
        http.post(own.url + "/v1/chat/completions", json={"model": "m", "messages": [USER]})
    assert (1, 0) == (len(own.log.entries), len(other.log.entries))


def test_unknown_name_and_missing_key_stay(
    agent: Any, places: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The agent goes on as without a policy and says once why."""
    own, other = places
    for name in ("nowhere", "keyless"):
        agent.obey({"knob": "endpoint", "value": name})
        assert ["own", "own"] == [chat(own), chat(own)]
    assert () == other.log.entries
    said = [record.message for record in caplog.records if "endpoint" in record.message]
    assert ["'nowhere'", "'keyless'"] == [text.split("endpoint ")[1].split(":")[0] for text in said]


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 401}, {"status": 404}, "drop"])
def test_endpoint_that_fails_is_left(agent: Any, places: tuple[Any, Any], fault: Any) -> None:
    """The agent's own provider answers the same call, and those after it without a look at the other."""
    own, _ = places
    other = agent.provider({"fault": fault})
    toml = agent.home / "trimtab.toml"
    toml.write_text(f'[endpoints.other]\nbase_url = "{other.url}/v1"\nkey_env = "OTHER_KEY"\n')
    agent.obey(OTHER)
    assert ["own"] * 3 == [chat(own) for _ in range(3)]
    assert (3, 1) == (len(own.log.entries), len(other.log.entries))
    assert [1, 2, 1, 1] == [attempt.number for attempt in agent.attempts()]


def test_conversation_stays_where_it_began(agent: Any, places: tuple[Any, Any]) -> None:
    """It goes on at the endpoint that answered first, whichever line asks."""
    own, _ = places
    arms = [{"value": "other", "weight": 0.5}, {"incumbent": True, "weight": 0.5}]
    agent.obey({"knob": "endpoint", "source": "experiment", "arms": arms})
    first: list[str | None] = []
    with openai.OpenAI(base_url=own.url + "/v1", api_key=OWN_KEY) as client:
        for n in range(14):
            talk: Any = [{"role": "user", "content": f"question {n}"}]
            with trimtab.run("r"):
                first.append(client.chat.completions.create(model="m", messages=talk).choices[0].message.content)
                talk += [{"role": "assistant", "content": first[-1]}, USER]
                again = client.chat.completions.create(model="m", messages=talk).choices[0].message.content
                assert first[-1] == again
    assert {"own", "other"} == set(first)


def test_keys_are_written_nowhere(agent: Any, places: tuple[Any, Any]) -> None:
    """Neither key is in the spool, whatever the content mode keeps."""
    own, _ = places
    agent.publish(OTHER)
    agent.begin(content="full")
    agent.wait(lambda: agent.obeyed() == 1)
    assert "other" == chat(own)
    trimtab.flush()
    assert switch.active() is not None
    written = b"".join(path.read_bytes() for path in (agent.home / "spool").iterdir())
    assert b"other" in written
    assert OWN_KEY.encode() not in written
    assert OTHER_KEY.encode() not in written

"""No secret of an agent is in any file of ours, wherever the agent was careless with it."""

from __future__ import annotations

import io
import json
import random
import string
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from trimtab.__main__ import main
from trimtab_analyzer.findings import analyze

NAMED = (
    *("url_password", "url_query", "system_prompt", "user_message", "metadata", "tool_arguments", "tool_result"),
    *("tool_exception", "run_attribute", "run_exception", "tool_url", "tool_path"),
    *("unreachable_password", "unreachable_query", "header", "cookie", "tool_header"),
)
"""Places where a name before the secret tells what it is, or that are never kept; in all others its form does."""
PLACES = (
    *NAMED,
    *("api_key", "user_field", "stop", "tool_description", "tool_schema", "answer", "run_task", "knob", "outcome"),
    *("last_exception", "refusal", "other_api_key", "other_message", "other_answer"),
)
PLAIN = "marmalade"
"""No secret, and in every text: what shows that texts are searched, or that none is kept."""
MODES = ("off", "redacted", "full")
BESIDE = "redacted, beside a sidecar"
"""The second of them, where the sidecar parses what was captured."""


class Left(NamedTuple):
    """What an agent left behind."""

    texts: dict[str, bytes]
    """Everything that can be read, by where it stands: files as they are, and what is packed in them."""
    secrets: dict[str, str]

    def holding(self, needle: str) -> list[str]:
        """Where ``needle`` can be read, also as JSON or a URL would write it."""
        return [where for where, text in self.texts.items() if needle.encode() in text]


def made_up(place: str, draw: random.Random) -> str:
    """A secret. Those with a name before them look like nothing in particular."""
    word = "".join(draw.choices(string.ascii_letters, k=19)) + "7" + "".join(draw.choices(string.digits, k=15))
    return word if place in NAMED else f"sk-{word}"


def scenario(secrets: dict[str, str]) -> dict[str, Any]:
    """A provider that tells secrets, too."""
    call = {"name": "login", "arguments": {"password": secrets["tool_arguments"], "note": PLAIN}}
    refusal = {"status": 401, "message": f"Incorrect API key provided: {secrets['refusal']}"}
    return {
        "rules": [
            {"model": "refuses", "fault": refusal},
            {"api": "anthropic.messages", "text": f"{PLAIN} {secrets['other_answer']}", "chunks": 40},
            {"step": 0, "tool_calls": [call]},
            {"text": f"{PLAIN}: the key is {secrets['answer']}.", "chunks": 60},
        ]
    }


def readable(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file in a home as it is, and the texts inside the compressed ones."""
    for file in sorted(path for path in home.rglob("*") if path.is_file()):
        name = str(file.relative_to(home))
        yield name, file.read_bytes()
        if file.suffix == ".parquet":
            yield f"{name}, read", json.dumps(pq.read_table(file).to_pylist(), ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def imported(warm: Any) -> Any:
    """A process that has imported what the agent begins with."""
    return warm("anthropic", "httpx", "httpx2", "openai")


@pytest.fixture(scope="module", params=(*MODES, BESIDE))
def left(request: pytest.FixtureRequest, flow: Any, imported: Any) -> Left:
    """An agent ran, was collected, analysed and reported."""
    draw = random.Random(7)
    secrets = {place: made_up(place, draw) for place in PLACES}
    home = flow.home()
    mode = request.param.partition(",")[0]
    with flow.receiving(home) if request.param == BESIDE else nullcontext(None) as receiver:
        told, names = json.dumps(secrets), {"home": home, "TRIMTAB_CONTENT": mode}
        ran = flow.run_warm(flow.program("canaries.py"), scenario(secrets), imported, told, **names)
    if receiver is not None:
        assert int(receiver.told) == sum(entry.api is not None for entry in ran.log)
    assert "RuntimeError: the last one" in ran.stderr, ran.stderr
    ours = "\n".join(line for line in ran.stderr.splitlines() if "trimtab" in line and "canaries.py" not in line)
    texts = {f"spooled {name}": text for name, text in readable(home)}
    records = flow.records(home)
    for finding in analyze(records.store.cursor()):
        texts[f"finding {finding.title}"] = repr(finding).encode()
    for (table,) in records.store.cursor().execute("SELECT table_name FROM duckdb_tables()").fetchall():
        texts[f"table {table}"] = json.dumps(records.rows(f"FROM {table}"), ensure_ascii=False, default=str).encode()
    records.store.close()
    page = home / "report.html"
    with redirect_stdout(io.StringIO()):
        assert 0 == main(["report", "--home", str(home), "--html", str(page)])
    texts |= dict(readable(home)) | {"what we log": ours.encode()}
    return Left(texts, secrets)


@pytest.mark.parametrize("left", ["off", "redacted", BESIDE], indirect=True)
@pytest.mark.parametrize("place", PLACES)
def test_no_file_of_ours_holds_a_secret(left: Left, place: str) -> None:
    """A secret in headers, URLs, bodies, tool results, settings or exceptions is in no byte that we wrote."""
    assert [] == left.holding(left.secrets[place].removeprefix("sk-"))


@pytest.mark.parametrize("left", ["full"], indirect=True)
def test_the_search_finds_what_is_there(left: Left) -> None:
    """With all content kept, secrets of bodies are found: the search reads what it says it reads."""
    bodies = ("system_prompt", "user_message", "tool_arguments", "tool_result", "answer", "other_answer", "stop")
    assert [] == [place for place in bodies if not left.holding(left.secrets[place].removeprefix("sk-"))]
    never = ("api_key", "header", "cookie", "url_password", "url_query", "other_api_key", "tool_header", "tool_url")
    assert {} == {place: found for place in never if (found := left.holding(left.secrets[place].removeprefix("sk-")))}


@pytest.mark.parametrize("left", ["redacted", BESIDE], indirect=True)
def test_other_words_are_kept(left: Left) -> None:
    """What is no secret is readable in spool and content."""
    assert any(where.startswith("spooled") for where in left.holding(PLAIN))
    assert any(where.startswith("content") for where in left.holding(PLAIN))


@pytest.mark.parametrize("left", ["off"], indirect=True)
def test_no_text_is_kept_with_content_off(left: Left) -> None:
    """With content off no word of a prompt, an answer, an argument or a result is in a file."""
    assert [] == left.holding(PLAIN)

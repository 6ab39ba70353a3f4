"""Compares what the tracer recorded with what the provider really got and sent.

In: the provider's log, the records, the agent's file, and the agent's run without tracing. Out: a :class:`Verdict`,
whose fields are the keys of the JSON result (docs/coverage.md). Pure: no process, no database, no clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab_tuner.provider import LogEntry

from .records import Records, Row
from .running import Ran

MARK = "# call"
"""Ends the lines from which an agent makes LLM calls."""

RAN = "ran "
"""Begins the line that a tool prints when it runs; its name follows."""

UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""What frameworks print of their own, and differs from run to run."""

SITES_RIGHT = 0.95
"""Share of calls that must be pinned to a marked line."""


@dataclass(slots=True)
class Verdict:
    """What was seen of one agent; each field is explained in docs/coverage.md."""

    agent: str
    environment: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    constant_site: bool = False
    isolated: bool = True
    requests: int = 0
    requests_missed: int = 0
    requests_doubled: int = 0
    calls: int = 0
    calls_missed: int = 0
    calls_doubled: int = 0
    tool_calls: int = 0
    tool_calls_missed: int = 0
    tool_calls_doubled: int = 0
    tool_answers: int = 0
    tool_answers_missed: int = 0
    tool_calls_without_id: int = 0
    tool_calls_without_id_missed: int = 0
    tools_ran: int | None = None
    tools_observed: int = 0
    tool_runs_doubled: int = 0
    tokens_sent: int = 0
    tokens_wrong: int = 0
    sites_marked: int = 0
    sites_right: int = 0
    sites_wrong: list[str] = field(default_factory=list)
    records_lost: int = 0
    same_result: bool = False
    exit_code: int | None = None
    problems: list[str] = field(default_factory=list)
    ok: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def judge(verdict: Verdict, script: Path, traced: Ran, plain: Ran, records: Records) -> Verdict:
    """Fill ``verdict``, which names the agent, and return it."""
    asked = [entry for entry in traced.log if entry.api is not None]
    by_request = _attempts_by_request(asked, records.attempts)
    _judge_requests(verdict, asked, by_request, records)
    _judge_calls(verdict, asked, by_request, records)
    _judge_tools(verdict, asked, records)
    _judge_tokens(verdict, asked, by_request)
    _judge_sites(verdict, script, records.calls)
    verdict.records_lost = sum(row["count"] for row in records.losses)
    verdict.exit_code = traced.exit_code
    verdict.same_result = _result(traced) == _result(plain)
    _judge_executions(verdict, traced.stdout, records.tool_calls)
    verdict.problems = _problems(verdict, traced, plain)
    verdict.ok = not verdict.problems
    return verdict


def marked_lines(script: Path) -> set[int]:
    """Numbers of the lines that end in :data:`MARK`."""
    return {n for n, line in enumerate(script.read_text().splitlines(), 1) if line.rstrip().endswith(MARK)}


def _attempts_by_request(asked: Sequence[LogEntry], attempts: Iterable[Row]) -> dict[int, list[Row]]:
    """Attempts of each request, by its number in the log.

    They meet by request id; an attempt that never saw its response takes the first request with its body that is left.
    """
    by_id = {entry.request_id: entry.n for entry in asked if entry.status is not None}
    found: dict[int, list[Row]] = {entry.n: [] for entry in asked}
    blind = []
    for row in attempts:
        if (n := by_id.get(row["request_id"])) is not None:
            found[n].append(row)
        elif row["request_id"] is None:
            blind.append(row)
    for row in blind:
        left = (e.n for e in asked if e.body_digest == row["body_digest"] and not found[e.n])
        if (n := next(left, None)) is not None:
            found[n].append(row)
    return found


def _judge_requests(
    verdict: Verdict, asked: Sequence[LogEntry], by_request: dict[int, list[Row]], records: Records
) -> None:
    known = {row["attempt_id"] for rows in by_request.values() for row in rows}
    invented = sum(row["attempt_id"] not in known for row in records.attempts)
    verdict.requests = len(asked)
    verdict.requests_missed = sum(not rows for rows in by_request.values())
    verdict.requests_doubled = invented + sum(len(rows) - 1 for rows in by_request.values() if rows)


def _judge_calls(
    verdict: Verdict, asked: Sequence[LogEntry], by_request: dict[int, list[Row]], records: Records
) -> None:
    """A logical call is seen if one call of ours has its requests; two of ours for it, or one for none, is doubled."""
    logical = _logical_calls(asked)
    verdict.calls = len(logical)
    taken: set[str] = set()
    for numbers in logical:
        ids = {row["call_id"] for n in numbers for row in by_request[n]}
        verdict.calls_missed += not ids - taken  # two logical calls in one of ours: the second is not there
        verdict.calls_doubled += max(0, len(ids) - 1)
        taken |= ids
    verdict.calls_doubled += sum(row["call_id"] not in taken for row in records.calls)


def _logical_calls(asked: Sequence[LogEntry]) -> list[list[int]]:
    """Numbers of the requests of each call: an SDK that retries says so in a header and repeats the body."""
    calls: list[list[int]] = []
    latest: dict[str, list[int]] = {}
    for entry in asked:
        if entry.headers.get("x-stainless-retry-count", "0") == "0" or entry.body_digest not in latest:
            latest[entry.body_digest] = []
            calls.append(latest[entry.body_digest])
        latest[entry.body_digest].append(entry.n)
    return calls


def _judge_tools(verdict: Verdict, asked: Sequence[LogEntry], records: Records) -> None:
    sent = [call for entry in asked for call in entry.tool_calls]
    wanted = Counter((call.id, call.name) for call in sent if call.id)
    seen = Counter((row["provider_id"], row["name"]) for row in records.tool_calls if row["provider_id"])
    verdict.tool_calls = wanted.total()
    verdict.tool_calls_missed = (wanted - seen).total()
    verdict.tool_calls_doubled = (seen - wanted).total()
    ids = {call_id for call_id, _ in wanted}
    answered = {tool_id for entry in asked for tool_id in entry.tool_result_ids} & ids
    linked = {row["provider_id"] for row in records.tool_calls if row["origin"] in ("inferred", "observed")}
    verdict.tool_answers = len(answered)
    verdict.tool_answers_missed = len(answered - linked)
    nameless = Counter(call.name for call in sent if not call.id)
    ours = Counter(row["name"] for row in records.tool_calls if row["call_id"] and not row["provider_id"])
    verdict.tool_calls_without_id = nameless.total()
    verdict.tool_calls_without_id_missed = (nameless - ours).total()
    verdict.tool_calls_doubled += (ours - nameless).total()


def _judge_executions(verdict: Verdict, stdout: str, tool_calls: Iterable[Row]) -> None:
    """Executions in the store, observed or inferred, against the lines that tools printed as they ran."""
    ran = Counter(words[1] for line in stdout.splitlines() if line.startswith(RAN) and len(words := line.split()) > 1)
    seen = Counter((row["name"], row["origin"]) for row in tool_calls)
    observed = Counter({name: n for (name, origin), n in seen.items() if origin == "observed"})
    inferred = Counter({name: n for (name, origin), n in seen.items() if origin == "inferred"})
    verdict.tools_ran = ran.total() or None
    verdict.tools_observed = sum(n for name, n in observed.items() if name in ran or not ran)
    verdict.tool_runs_doubled = sum(max(0, observed[name] + inferred[name] - n) for name, n in ran.items())


def _judge_tokens(verdict: Verdict, asked: Sequence[LogEntry], by_request: dict[int, list[Row]]) -> None:
    for entry in asked:
        if entry.usage is None:
            continue
        verdict.tokens_sent += 1
        # Ollama's answers have no field for cached tokens, those with vectors none for written ones.
        cached = 0 if entry.api == "ollama" else entry.usage["cached_tokens"]
        written = None if entry.step is None else entry.usage["output_tokens"]
        wanted = (entry.usage["input_tokens"], cached, written)
        for row in by_request[entry.n]:
            got = (row["input_tokens"], row["cache_read_tokens"] or 0, row["output_tokens"])
            verdict.tokens_wrong += got != wanted or row["usage_source"] != "reported"


def _judge_sites(verdict: Verdict, script: Path, calls: Iterable[Row]) -> None:
    marked = marked_lines(script)
    verdict.sites_marked = len(marked)
    for row in calls:
        lines = range(row["line"], row["end_line"] + 1)
        is_right = row["owner"] == "user" and Path(row["file"]) == script.resolve() and not marked.isdisjoint(lines)
        verdict.sites_right += is_right
        if not is_right:
            verdict.sites_wrong.append(f"{row['file']}:{row['line']}")


def _result(ran: Ran) -> tuple[int | None, Counter[str], Counter[tuple[str, int | None]]]:
    """How an agent ended, what it printed and what it requested, in any order: parallel tools print as they end."""
    printed = Counter(UUID.sub("", ran.stdout).splitlines())
    return ran.exit_code, printed, Counter((entry.path, entry.status) for entry in ran.log)


def _problems(verdict: Verdict, traced: Ran, plain: Ran) -> list[str]:
    """A sentence for everything that must not be."""
    found = [
        f"{name.replace('_', ' ')}: {getattr(verdict, name)}"
        for name in (
            "requests_missed", "requests_doubled", "calls_missed", "calls_doubled", "tool_calls_missed",
            "tool_calls_doubled", "tool_answers_missed", "tool_calls_without_id_missed", "tool_runs_doubled",
            "tokens_wrong", "records_lost",
        )
        if getattr(verdict, name)
    ]  # fmt: skip
    if not verdict.requests:
        found.append("the agent asked the provider nothing")
    right, judged = verdict.sites_right, verdict.sites_right + len(verdict.sites_wrong)
    if verdict.sites_marked and right < SITES_RIGHT * judged:
        found.append(f"sites wrong: {sorted(set(verdict.sites_wrong))}")
    if plain.exit_code != 0:
        found.append(f"without tracing it ended with {plain.exit_code}: {_tail(plain)}")
    if not verdict.same_result:
        found.append(f"its result is another with tracing (exit code {traced.exit_code}): {_tail(traced)}")
    return found


def _tail(ran: Ran) -> str:
    return (ran.stderr or ran.stdout).strip()[-600:]

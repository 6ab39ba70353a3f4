"""Builds small stores for the tests of the analyzer: real DuckDB, real migrations, a dozen rows with counting ids and a
clock of whole seconds. Also one story per rule that must be found (`stories`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from trimtab_tracer.store import migrations

SECOND = 1_000_000_000
OF_CALL = (
    "call_id",
    "run_id",
    "process_id",
    "site_id",
    "api",
    "host",
    "model",
    "stream",
    "tools_digest",
    "tools_offered",
)

Row = dict[str, Any]


def connected() -> duckdb.DuckDBPyConnection:
    """An empty store in memory."""
    con = duckdb.connect()
    for _, sql in migrations():
        con.execute(sql)
    return con


class Blank:
    """A store in memory that tests fill one after the other: emptied after each, which takes a tenth of making one,
    and made anew where a test left it in another shape."""

    def __init__(self) -> None:
        self.con = connected()
        self._shape = self._seen()

    def _seen(self) -> list[tuple[str, ...]]:
        columns = "table_name, column_name, data_type, column_default"
        return self.con.execute(f"SELECT {columns} FROM duckdb_columns() WHERE NOT internal ORDER BY ALL").fetchall()

    def empty(self) -> None:
        try:
            with suppress(duckdb.TransactionException):  # it left none open
                self.con.rollback()
            for (table,) in self.con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                self.con.execute(f"DELETE FROM {table}")
            if self._seen() == self._shape:
                return
        except duckdb.Error:  # closed, or past use
            pass
        self.con.close()
        self.con = connected()


class Shelf:
    """A store being filled. Every call takes one second per attempt, and nothing overlaps unless told."""

    def __init__(self, con: duckdb.DuckDBPyConnection | None = None) -> None:
        self.con = con or connected()
        self.now = 0
        self.calls = 0

    def insert(self, table: str, row: Row) -> None:
        row = {name: json.dumps(v) if isinstance(v, dict) else v for name, v in row.items()}
        names = ", ".join(f'"{name}"' for name in row)
        self.con.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))

    def site(self, site_id: str, line: int, source: str = "ask()", file: str = "agent.py") -> None:
        row = {"site_id": site_id, "file": file, "function": "main", "line": line, "end_line": line, "source": source}
        self.insert("sites", row | {"owner": "user"})

    def run(self, run_id: str = "r1", **facts: Any) -> str:
        row: Row = {"run_id": run_id, "process_id": "p", "service": "shop", "name": "shop", "origin": "explicit"}
        row |= {"attributes": "{}", "started_ns": self.now, "status": "ok", "end_rule": "block exit"}
        self.insert("runs", row | facts)
        return run_id

    def outcome(self, run_id: str, success: bool | None, source: str = "explicit", **facts: Any) -> None:
        count = self.con.execute("SELECT count(*) FROM outcomes").fetchall()[0][0]
        row = {
            "outcome_id": f"o{count}",
            "run_id": run_id,
            "recorded_ns": self.now + count,
            "success": success,
            "source": source,
        }
        self.insert("outcomes", row | facts)

    def decide(self, run_id: str, knob: str, value: Any, call_id: str | None = None, **facts: Any) -> None:
        row: Row = {"decision_id": f"{call_id or run_id}:{knob}:{self.now}", "run_id": run_id, "call_id": call_id}
        row |= {"knob": knob, "value": json.dumps(value), "source": "code", "propensity": 1.0, "site_id": "site"}
        self.insert("decisions", row | {"site_role": "call", "decided_ns": self.now} | facts)

    def call(
        self,
        run_id: str = "r1",
        *attempts: Row,
        tools: Sequence[Row] = (),
        decisions: Row | None = None,
        rejected_by: str | None = None,
        **facts: Any,
    ) -> str:
        """A call of one good attempt, or of ``attempts``, asking for ``tools``; ``facts`` hold for every attempt."""
        self.calls += 1
        call_id = f"c{self.calls}"
        start = self.now
        for number, own in enumerate(attempts or ({},), 1):
            row: Row = {"attempt_id": f"{call_id}.{number}", "call_id": call_id, "run_id": run_id, "process_id": "p"}
            row |= {"number": number, "started_ns": self.now, "api": "openai.chat", "method": "POST", "host": "llm"}
            row |= {"path": "/v1/chat/completions", "site_id": "site", "model": "m1", "stream": False, "chunks": 0}
            row |= {"request_bytes": 0, "response_bytes": 0, "end": "complete", "cost_musd": 100, "tools_offered": []}
            row |= {"input_tokens": 10, "output_tokens": 5, "finish_reason": "stop", "tools_digest": "t1"} | facts | own
            if row.get("error_class"):
                row["finish_reason"] = None
            self.now += int(row.pop("duration_s", 1) * SECOND)
            row["ended_ns"] = self.now
            self.insert("attempts", row)
        call: Row = {name: row[name] for name in OF_CALL} | {
            "started_ns": start,
            "ended_ns": self.now,
            "wait_ns": 0,
        }
        call |= {"attempts": row["number"], "status": "error" if row.get("error_class") else "ok"}
        call |= {"usage_source": "reported", "cost_source": "reported", "finish_reason": row["finish_reason"]}
        self.insert("calls", call | ({"rejected_by_call_id": rejected_by} if rejected_by else {}))
        for knob, value in (decisions or {}).items():
            self.decide(run_id, knob, value, call_id)
        for index, tool in enumerate(tools):
            self.tool(run_id, call_id, index, **tool)
        return call_id

    def tool(self, run_id: str, call_id: str | None, index: int = 0, **facts: Any) -> None:
        row: Row = {"tool_id": f"{call_id}:{index}", "run_id": run_id, "call_id": call_id, "name": "search"}
        if misfit := facts.pop("schema_error", None):
            asked = {"attempt_id": f"{call_id}.1", "index": index, "call_id": call_id, "run_id": run_id, "name": "x"}
            self.insert("tool_requests", asked | {"args_valid": True, "args_chars": 9, "schema_error": misfit})
        if ran := facts.pop("ran_status", None):
            facts |= {"origin": "observed", "tool_run_id": f"run {row['tool_id']}"}
            seen = {"tool_run_id": facts["tool_run_id"], "run_id": run_id, "process_id": "p", "name": "x"}
            seen |= {"started_ns": self.now, "ended_ns": self.now, "status": ran, "result_chars": 0}
            self.insert("tool_runs", seen)
        row |= {"args_digest": "a", "args_valid": True, "args_chars": 9, "offered": True, "origin": "inferred"}
        row |= {"started_ns": self.now, "ended_ns": self.now, "is_upper_bound": True, "status": "ok"}
        self.insert("tool_calls", row | {"result_digest": f"result {call_id}:{index}"} | facts)

    def again(self, table: str, ids: Sequence[str], run_ids: Sequence[str], times: int) -> None:
        """The rows of these runs so many times more, under ids of their own."""
        new = ", ".join(f"{name} || ' again ' || i AS {name}" for name in ids)
        self.con.execute(
            f"INSERT INTO {table} BY NAME SELECT t.* REPLACE ({new}) FROM {table} AS t, range({times}) AS more(i)"
            f" WHERE t.run_id IN (SELECT unnest($runs))",
            {"runs": list(run_ids)},
        )

    def load_mini_swe(self, folder: Path) -> None:
        """Real calls, one attempt each; a call that was rejected is rejected by the next one of its run."""
        for name in ("calls", "runs"):
            file = str(folder / f"{name}.parquet")
            self.con.execute(f"CREATE TEMP TABLE real_{name} AS FROM read_parquet($file)", {"file": file})
        self.con.execute(MINI_SWE)


MINI_SWE = """
    CREATE TEMP TABLE real AS SELECT
        *, printf('%s:%05d', instance_id, step) AS call_id, printf('%s:%05d', instance_id, step + 1) AS next_id,
        instance_id AS run_id, created * 1000000000 AS at_ns, 'p' AS process_id, 'default.py' AS site_id,
        'openai.chat' AS api, 'openrouter.ai' AS host, false AS stream
    FROM real_calls;
    INSERT INTO attempts BY NAME SELECT
        call_id || '.1' AS attempt_id, call_id, run_id, process_id, site_id, api, host, stream, 1 AS number,
        at_ns AS started_ns, at_ns AS ended_ns, 'POST' AS method, '/' AS path, 'complete' AS "end", 0 AS chunks,
        0 AS request_bytes, 0 AS response_bytes, model, lower(finish_reason) AS finish_reason,
        prompt_tokens AS input_tokens, completion_tokens AS output_tokens, round(cost * 1e6)::BIGINT AS cost_musd
    FROM real;
    INSERT INTO calls BY NAME SELECT
        call_id, run_id, process_id, site_id, api, host, stream, model, at_ns AS started_ns, at_ns AS ended_ns,
        1 AS attempts, 0 AS wait_ns, 'ok' AS status, 'reported' AS usage_source, 'reported' AS cost_source,
        CASE WHEN format_error THEN next_id END AS rejected_by_call_id
    FROM real;
    INSERT INTO runs BY NAME SELECT
        instance_id AS run_id, 'p' AS process_id, 'mini' AS service, instance_id AS name, 'import' AS origin,
        '{}' AS attributes, 0 AS started_ns
    FROM real_runs;
    INSERT INTO outcomes BY NAME SELECT
        instance_id AS outcome_id, instance_id AS run_id, 0 AS recorded_ns, resolved AS success, 'evaluator' AS source
    FROM real_runs;
"""

RATE_LIMIT: Row = {"error_class": "rate_limit", "http_status": 429, "retry_after_s": 2.0, "cost_musd": 0}
BAD_REQUEST: Row = {"error_class": "bad_request", "http_status": 400, "body_digest": "b", "cost_musd": 0}
HANGS: Row = {"error_class": "timeout", "end": "error", "timeout_s": 2.0, "duration_s": 2, "cost_musd": None}
FAILS: Row = {"status": "error", "error_type": "KeyError", "error_message": "no such row"}


def _rate_limit(s: Shelf) -> None:
    s.call("r1", RATE_LIMIT, decisions={"max_retries": 0})


def _provider_error(s: Shelf) -> None:
    s.call("r1", {"error_class": "overloaded", "http_status": 529, "cost_musd": 0}, decisions={"max_retries": 0})


def _timeout(s: Shelf) -> None:
    s.call("r1", HANGS, decisions={"timeout_s": 2.0})


def _futile_retry(s: Shelf) -> None:
    s.call("r1", BAD_REQUEST, BAD_REQUEST)


def _retry_storm(s: Shelf) -> None:
    odd = {"error_class": "other", "body_digest": "b", "cost_musd": 0}
    for _ in range(3):
        s.call("r1", odd, odd, odd, decisions={"max_retries": 2})


def _truncation(s: Shelf) -> None:
    s.call(finish_reason="length", output_tokens=120, decisions={"max_tokens": 120})


def _parser_rejection(s: Shelf) -> None:
    s.call(rejected_by="c2", decisions={"prompt_version": "v1"})
    s.call(decisions={"prompt_version": "v1"})


def _malformed_tool_args(s: Shelf) -> None:
    s.call(tools=[{"args_valid": False, "args_error": "Expecting value", "origin": "requested"}])


def _unknown_tool(s: Shelf) -> None:
    s.call(tools=[{"name": "serch", "offered": False}], tools_offered=["search", "buy"])


def _broken_tool(s: Shelf) -> None:
    s.run("other")
    for number in range(5):
        s.call("other" if number else "r1", tools=[FAILS | {"args_digest": f"a{number}"}])


def _repeated_call(s: Shelf) -> None:
    s.call(tools=[{"result_digest": "same"}])
    s.call(tools=[{"result_digest": "same"}])


def _never_ran(s: Shelf) -> None:
    s.outcome(s.run("idle", error_site_id="site"), False)


def _incident(s: Shelf) -> None:
    for service in ("sales", "stock", "desk"):
        s.run(service, service=service)
    for turn in range(10):
        s.now += 60 * SECOND
        for service in ("sales", "stock", "desk"):
            s.call(service, *([{"error_class": "overloaded", "cost_musd": 0}] if turn in (3, 4) else []))


def _evaluator_fault(s: Shelf) -> None:
    s.call()
    s.outcome("r1", True)
    s.outcome("r1", False, "evaluator")


def _over_parallel(s: Shelf) -> None:
    s.now = 10 * SECOND
    for number in range(8):
        s.now = 10 * SECOND
        s.call("r1", ({} if number < 2 else RATE_LIMIT) | {"duration_s": 5})
    for _ in range(8):
        s.call()


def _auth(s: Shelf) -> None:
    s.call("r1", {"error_class": "auth", "http_status": 401, "cost_musd": 0})


def _not_found(s: Shelf) -> None:
    s.call("r1", {"error_class": "not_found", "http_status": 404, "cost_musd": 0})


def _bad_parameter(s: Shelf) -> None:
    s.call("r1", BAD_REQUEST | {"error_message": "Unsupported value: 'temperature' does not support 2."})


def _context_overflow(s: Shelf) -> None:
    s.call("r1", {"error_class": "context_overflow", "http_status": 400, "cost_musd": 0})


def _stop_conflict(s: Shelf) -> None:
    s.call(signals={"stops": ["</answer>"]}, rejected_by="c2", decisions={"stop": ["</answer>"]})
    s.call()


def _refusal(s: Shelf) -> None:
    s.call(finish_reason="content_filter")


def _empty_output(s: Shelf) -> None:
    s.call(parsed=True, output_chars=0)


def _disobeyed_format(s: Shelf) -> None:
    s.call(signals={"disobeyed": ["json"]})
    s.outcome("r1", False)


def _reasoning_action_mismatch(s: Shelf) -> None:
    s.call(signals={"mismatch": ["search", "buy"]}, tools=[{"name": "buy"}])
    s.outcome("r1", False)


def _schema_invalid_args(s: Shelf) -> None:
    s.call(tools=[{"schema_error": "missing: city", "status": "unknown"}])


def _tool_error(s: Shelf) -> None:
    s.call(tools=[FAILS])
    s.outcome("r1", False)


def _silent_tool_error(s: Shelf) -> None:
    s.call(tools=[{"status": "unknown"}, {"args_digest": "b"}])
    s.call(signals={"answers": {"c1:0": "empty"}})
    s.outcome("r1", False)


def _duplicate_side_effect(s: Shelf) -> None:
    s.call(tools=[{"name": "book", "mutates": True}])
    s.call(tools=[{"name": "book", "mutates": True}])


def _no_progress(s: Shelf) -> None:
    for number in range(5):
        s.call(tools=[{"args_digest": f"a{number}", "result_digest": "same"}])
    s.outcome("r1", False)


def _limit_hit(s: Shelf) -> None:
    s.decide("r1", "max_turns", 3)
    for number in range(3):
        s.call(tools=[{"args_digest": f"a{number}"}])


def _timed_out_but_done(s: Shelf) -> None:
    s.call()
    s.con.execute("UPDATE runs SET status = 'error', error_type = 'TimeoutError', error_site_id = 'site'")
    s.outcome("r1", True)


def _premature_end(s: Shelf) -> None:
    for run_id in ("long 1", "long 2", "long 3"):
        s.run(run_id)
        for number in range(4):
            s.call(run_id, tools=[{"args_digest": f"a{number}"}] if number < 3 else [])
    s.call(tools_offered=["search"])
    s.outcome("r1", False)


def _no_verification(s: Shelf) -> None:
    s.call(s.run("reader"), tools=[{"name": "read_file", "mutates": False}])
    s.call(tools=[{"name": "write_file", "mutates": True}])
    s.call()
    s.outcome("r1", False)


def _wrong_verification(s: Shelf) -> None:
    s.call(signals={"verified": True})
    s.outcome("r1", False)


def _conversation_reset(s: Shelf) -> None:
    for number, messages in enumerate((2, 4, 2)):
        s.call(signals={"opening": 7}, message_count=messages, tools=[{"args_digest": f"a{number}"}])


def _lost_history(s: Shelf) -> None:
    for args, messages in (("a", 2), ("b", 4), ("a", 3)):
        s.call(message_count=messages, tools=[{"args_digest": args}])
    s.outcome("r1", False)


def _withheld_info(s: Shelf) -> None:
    s.call(prompt_digest="clerk", signals={"values_out": [7, 8]})
    s.call(prompt_digest="boss", signals={"values_in": [1]})
    s.outcome("r1", False)


def _ungrounded_answer(s: Shelf) -> None:
    s.call(signals={"numbers": [2, 2]})
    s.outcome("r1", False)


def _poor_retrieval(s: Shelf) -> None:
    for number in range(4):
        found = {"args_digest": f"a{number}", "result_chars": 5}
        s.call(signals={"queries": {"0": [1, 2, 3, 10 + number]}}, tools=[found])
    s.outcome("r1", False)


def _uncompensated_side_effect(s: Shelf) -> None:
    s.call(tools=[{"name": "book", "mutates": True}])
    s.call()
    s.con.execute("UPDATE runs SET status = 'error', error_type = 'KeyError', error_site_id = 'site'")


def _cache_miss(s: Shelf) -> None:
    large = {"input_tokens": 2000, "message_count": 2, "cache_read_tokens": 1800, "prompt_digest": "p1"}
    s.call(**large)
    s.call(**large | {"message_count": 4, "cache_read_tokens": 0, "prompt_digest": "p2"})


def _oversized_result(s: Shelf) -> None:
    priced = {"host": "api.openai.com", "model": "gpt-5-mini"}
    asked = s.call(message_count=1, input_tokens=1000, tools=[{}], **priced)
    came = s.call(message_count=3, input_tokens=11_500, **priced)
    row = {"tool_id": f"{asked}:0", "attempt_id": f"{came}.1", "seen_ns": s.now, "status": "ok"}
    s.insert("tool_results", row | {"result_chars": 40_000})
    s.call(message_count=5, input_tokens=12_000, cost_musd=3000, **priced)


def _after_answer(s: Shelf) -> None:
    for number in range(5):
        said = {"values_out": [number], "opening": number}
        s.call(s.run(f"asked {number}"), message_count=2, signals=said)
        s.call(f"asked {number}", message_count=4, signals=said | {"followed": 7})


def _costly_model(s: Shelf) -> None:
    for model, cost in (("large", 400), ("small", 100)):
        s.call(s.run(model), model=model, cost_musd=cost)
        s.outcome(model, True)
    for table, ids in (("runs", ["run_id"]), ("calls", ["call_id", "run_id"]), ("outcomes", ["outcome_id", "run_id"])):
        s.again(table, ids, ("large", "small"), 23)
    s.again("attempts", ["attempt_id", "call_id", "run_id"], ("large", "small"), 23)


def _run_error(s: Shelf) -> None:
    s.call()
    s.con.execute(
        "UPDATE runs SET status = 'error', error_type = 'KeyError', error_message = 'x', error_site_id = 'site'"
    )


STORIES: dict[str, Callable[[Shelf], None]] = {
    name.removeprefix("_"): tell
    for name, tell in globals().items()
    if callable(tell) and getattr(tell, "__module__", None) == __name__ and name.startswith("_") and name != "_"
}


def begun(con: duckdb.DuckDBPyConnection | None = None) -> Shelf:
    """An empty store to fill; its line `site` is agent.py:14 and run `r1` has begun."""
    made = Shelf(con)
    made.site("site", 14, "client.chat.completions.create(")
    made.run()
    return made


@pytest.fixture(scope="session")
def new_shelf() -> Callable[[], Shelf]:
    """Makes a `shelf` that tests of a module share; whoever makes one closes its connection."""
    return begun


@pytest.fixture(scope="session")
def blank() -> Iterator[Blank]:
    """What each `shelf` is filled into."""
    made = Blank()
    yield made
    made.con.close()


@pytest.fixture
def shelf(blank: Blank) -> Iterator[Shelf]:
    """An empty store to fill; its line `site` is agent.py:14 and run `r1` has begun."""
    yield begun(blank.con)
    blank.empty()


@pytest.fixture(scope="session")
def stories() -> dict[str, Callable[[Shelf], None]]:
    """Per rule the shortest story in which it must speak, told to a shelf."""
    return STORIES


@pytest.fixture(scope="session")
def all_told() -> Iterator[Shelf]:
    """A shelf to which every story was told; only to be read."""
    made = begun()
    for tell in STORIES.values():
        tell(made)
    yield made
    made.con.close()

"""Handing over: the sidecar writes what the agent would have written, and whatever becomes of it nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import trimtab
from trimtab_tracer import handover
from trimtab_tracer.caught import Caught
from trimtab_tracer.collect import Collector
from trimtab_tracer.exchange import ExchangeBuilder
from trimtab_tracer.handover import IS_ABLE, connect
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.memory import Journal
from trimtab_tracer.receiver import Receiver
from trimtab_tracer.records import CallDecisions, Content, Exchange, Loss, Process, Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter, list_segments, read_segment
from trimtab_tracer.store import Store
from trimtab_tracer.writer import Writer

pytestmark = pytest.mark.skipif(not IS_ABLE, reason="this system has no such sockets")

BUILT = (Exchange, CallDecisions, Content)
RECEIVING = Path(__file__).parent.parent / "flow" / "programs" / "receiving.py"
USER: Any = {"role": "user", "content": "What is 2+3? My password=hunter22secret."}
TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SCENARIO: dict[str, Any] = {
    "rules": [
        {"model": "refuses", "fault": {"status": 429}},
        {"model": "breaks", "words": 9, "fault": {"kind": "drop_mid_stream", "after_chunks": 3}},
        {"model": "wild", "tool_calls": [{"name": "add", "arguments": '{"a": '}]},
        {"step": 0, "model": "tools", "tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 3}}]},
        {"text": "It is {last_tool_result} 5."},
    ]
}


def paths(stream: bool) -> list[tuple[str, dict[str, Any]]]:
    """One request of each wire format."""
    gemini = "streamGenerateContent?alt=sse" if stream else "generateContent"
    body: dict[str, Any] = {"model": "m", "stream": stream}
    return [
        ("/v1/chat/completions", {**body, "messages": [USER], "tools": [TOOL], "temperature": 0.5}),
        ("/v1/responses", {**body, "input": [USER], "instructions": "Be brief."}),
        ("/v1/messages", {**body, "messages": [USER], "max_tokens": 50, "system": "Be brief."}),
        (f"/v1beta/models/m:{gemini}", {"contents": [{"role": "user", "parts": [{"text": USER["content"]}]}]}),
        ("/api/chat", {**body, "messages": [USER]}),
        *([] if stream else [("/v1/embeddings", {"model": "m", "input": ["a", "b"]})]),
    ]


def traffic(url: str) -> None:
    """Every format, plain and streamed, errors of all kinds, and a conversation with a tool."""
    with httpx.Client(base_url=url, timeout=20) as client:
        for stream in (False, True):
            for path, body in paths(stream):
                client.post(path, json=body)
                for model in ("refuses", "breaks", "wild"):
                    try:
                        client.post(path.replace("models/m:", f"models/{model}:"), json={**body, "model": model})
                    except httpx.HTTPError:
                        continue
        messages = [USER]
        for _ in range(2):
            answer = client.post(
                "/v1/chat/completions", json={"model": "tools", "messages": messages, "tools": [TOOL]}
            ).json()["choices"][0]["message"]
            messages = [*messages, answer]
            for call in answer.get("tool_calls") or ():
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": "error: no five"})
        before = client.post("/v1/responses", json={"model": "m", "input": "one", "instructions": "Be kind."}).json()
        client.post("/v1/responses", json={"model": "m", "input": "two", "previous_response_id": before["id"]})


class Played(list[Caught]):
    """What the hooks caught of some traffic, and what else was recorded."""

    process: Process
    others: list[Record]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The traffic above, captured once."""
    from trimtab_tuner.provider import Provider, Scenario

    home = tmp_path_factory.mktemp("played")
    caught = Played()
    with Provider(Scenario.from_dict(SCENARIO)) as provider:
        trimtab.instrument(home=home)
        tracer = switch.active()
        assert tracer is not None
        caught.process = tracer.process
        tracer.writer.submit = caught.append  # type: ignore[method-assign]
        try:
            traffic(provider.url)
        finally:
            trimtab.uninstrument()
    caught.others = [record for record in written(home) if not isinstance(record, Process)]
    assert len(caught) >= 45
    return caught


def written(home: Path) -> list[Any]:
    """All records in a home's spool."""
    lines = (line for path in list_segments(home / "spool") for line in read_segment(path))
    return [line.record for line in lines if line.record is not None]


class Agent:
    """The part of an agent behind its hooks."""

    def __init__(self, home: Path, process: Process, mode: str = "redacted") -> None:
        self.spool = SpoolWriter(home / "spool", process, 1 << 28)
        looks = partial(connect, home, process, mode)
        self.writer = Writer(self.spool, ExchangeBuilder(mode), 0.001, process.process_id, connect=looks)

    @property
    def is_beside_sidecar(self) -> bool:
        """Whether calls are handed over now."""
        return self.writer.is_beside_sidecar

    def end(self, timeout_s: float = 5.0) -> None:
        """As the tracer does it."""
        self.writer.close(timeout_s)
        self.spool.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home; sidecars are looked for at once."""
    monkeypatch.setattr(Writer, "LOOK_S", 0.0)
    monkeypatch.setattr(Writer, "STALL_S", 10.0)
    monkeypatch.setattr(handover, "WELCOME_S", 10.0)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def receive(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that receives in the home."""
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, str(RECEIVING), str(home), *arguments]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "listens\n"
            return process

        yield start


def tables(home: Path, others: list[Record], process: Process) -> dict[str, list[Any]]:
    """Every table of the store that a home's spool fills, without where in the spool a row came from."""
    spool = SpoolWriter(home / "spool", process, 1 << 28)
    spool.write_all(others)
    spool.close()
    settings = Settings(home=home)
    store = Store.open(settings.store_path)
    try:
        assert Collector(store, settings).collect_once().errors == ()
        con = store.cursor()
        names = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        said = {}
        for name in names:
            columns = [c for c, *_ in con.execute(f"DESCRIBE {name}").fetchall() if c not in ("segment", "updated_ns")]
            quoted = ", ".join(f'"{column}"' for column in columns)
            rows = con.execute(f"SELECT {quoted} FROM {name}").fetchall()
            said[name] = sorted(repr(row) for row in rows)
        for name in ("ingest_ledger", "migrations", "schema_migrations"):
            said.pop(name, None)
        bodies = sorted(repr(row) for path in settings.content_dir.glob("*.parquet") for row in parquet(path))
        return said | {"bodies": bodies}
    finally:
        store.close()


def parquet(path: Path) -> list[Any]:
    """Rows of a file."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    rows: list[Any] = pq.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("mode", ["redacted", "off"])
def test_the_sidecar_writes_what_the_agent_would(played: Played, tmp_path: Path, receive: Any, mode: str) -> None:
    """The same traffic gives the same store, table by table, whoever parsed it."""
    beside, alone = tmp_path / "home", tmp_path / "alone"
    receiver = receive()
    for home in (beside, alone):
        agent = Agent(home, played.process, mode)
        for number, caught in enumerate(played):
            agent.writer.submit(caught)
            if number == 0:
                agent.writer.flush(30.0)
        assert agent.is_beside_sidecar is (home is beside)
        agent.end()
    receiver.communicate("", timeout=10)
    expected, seen = tables(alone, played.others, played.process), tables(beside, played.others, played.process)
    assert {name: len(rows) for name, rows in expected.items()} == {name: len(rows) for name, rows in seen.items()}
    assert expected == seen
    assert (len(expected["bodies"]) > 40) is (mode != "off")
    assert len(expected["tool_results"]) == 1
    assert not any("hunter22secret" in body for body in seen["bodies"])


def test_work_passes_to_and_fro(played: Played, tmp_path: Path, home: Path, receive: Any) -> None:
    """Sidecars that come, are killed and come again in the middle leave the same store as none, links included."""
    agent = Agent(home, played.process)
    sidecar: subprocess.Popen[str] | None = None
    was_beside = []
    for number, caught in enumerate(played):
        if number % 8 == 0:
            if sidecar is not None:
                sidecar.kill()
                sidecar.wait()
            sidecar = receive() if number % 16 == 0 else None
        agent.writer.submit(caught)
        if number % 5:
            agent.writer.flush(30.0)
        was_beside.append(agent.is_beside_sidecar)
    agent.end()
    assert {True, False} == set(was_beside)
    alone = tmp_path / "alone"
    other = Agent(alone, played.process)
    for caught in played:
        other.writer.submit(caught)
    other.end()
    assert tables(alone, played.others, played.process) == tables(home, played.others, played.process)


def many(played: Played, count: int) -> list[Caught]:
    """So many captured calls, each of its own."""
    first = next(caught for caught in played if caught.attempt.http_status == 200 and caught.attempt.number == 1)
    return [
        replace(first, line=None, attempt=replace(first.attempt, attempt_id=f"a{n}", call_id=f"c{n}"))
        for n in range(count)
    ]


def exchanges(home: Path) -> set[str]:
    """Attempts whose exchange is in the spool."""
    return {record.attempt_id for record in written(home) if isinstance(record, Exchange)}


def test_a_killed_sidecar_loses_nothing(played: Played, home: Path, receive: Any) -> None:
    """SIGKILL in the middle of 200 calls: every call's exchange is in the spool, and no loss is counted."""
    sidecar = receive("slowly")
    agent = Agent(home, played.process)
    for number, caught in enumerate(many(played, 200)):
        agent.writer.submit(caught)
        if number == 0:
            agent.writer.flush(30.0)
            assert agent.is_beside_sidecar
        if number == 120:
            sidecar.kill()
            sidecar.wait()
        time.sleep(0.001)
    agent.end()
    assert {f"a{n}" for n in range(200)} == exchanges(home)
    assert [] == [record for record in written(home) if isinstance(record, Loss)]


@pytest.fixture
def impatient(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sidecars that hang are left soon."""
    monkeypatch.setattr(Writer, "STALL_S", 1.0)
    monkeypatch.setattr(handover, "WELCOME_S", 1.0)


def test_a_hung_sidecar_holds_nobody_up(played: Played, home: Path, receive: Any, impatient: None) -> None:
    """Calls beside a stopped sidecar take no longer, and it is left for the agent's own thread in the end."""
    sidecar = receive()
    agent = Agent(home, played.process)
    agent.writer.submit(many(played, 1)[0])
    agent.writer.flush(30.0)
    assert agent.is_beside_sidecar
    os.kill(sidecar.pid, signal.SIGSTOP)
    longest = 0.0
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 4000}]}).encode()
    for caught in many(played, 200):
        started = time.perf_counter()
        agent.writer.submit(replace(caught, request_body=body))
        longest = max(longest, time.perf_counter() - started)
    assert longest < Writer.STALL_S / 2
    agent.end(20.0)
    os.kill(sidecar.pid, signal.SIGKILL)
    assert {f"a{n}" for n in range(200)} == exchanges(home)


def test_the_end_beside_a_hung_sidecar_loses_nothing(
    played: Played, home: Path, receive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ends waits for a sidecar that takes nothing for half of its time, however long the thread would."""
    monkeypatch.setattr(Writer, "STALL_S", 60.0)
    monkeypatch.setattr(handover, "SEND_BUFFER_BYTES", 1 << 16)
    sidecar = receive()
    agent = Agent(home, played.process)
    agent.writer.submit(many(played, 1)[0])
    agent.writer.flush(30.0)
    monkeypatch.setattr(Writer, "LOOK_S", 60.0)
    os.kill(sidecar.pid, signal.SIGSTOP)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 4000}]}).encode()
    for caught in many(played, 15):
        agent.writer.submit(replace(caught, request_body=body))
    agent.end(4.0)
    os.kill(sidecar.pid, signal.SIGKILL)
    assert ({f"a{n}" for n in range(15)}, []) == (exchanges(home), [r for r in written(home) if isinstance(r, Loss)])


def test_a_hung_sidecar_is_waited_for_no_longer_than_a_flush(
    played: Played, home: Path, receive: Any, impatient: None
) -> None:
    """A flush gives the work to the agent's own thread while there is time left."""
    sidecar = receive()
    agent = Agent(home, played.process)
    agent.writer.submit(many(played, 1)[0])
    agent.writer.flush(30.0)
    os.kill(sidecar.pid, signal.SIGSTOP)
    for caught in many(played, 5):
        agent.writer.submit(caught)
    agent.writer.flush(1.0)
    assert {f"a{n}" for n in range(5)} == exchanges(home)
    os.kill(sidecar.pid, signal.SIGCONT)  # it reads on, and its records come twice
    sidecar.communicate("", timeout=10)
    agent.end()
    settings = Settings(home=home)
    store = Store.open(settings.store_path)
    Collector(store, settings).collect_once()
    count = store.cursor().execute("SELECT count(*), count(DISTINCT attempt_id || role) FROM content").fetchone()
    store.close()
    assert count == (10, 10)


def test_a_sidecar_that_comes_later_is_found(played: Played, home: Path, receive: Any) -> None:
    """An agent that runs already hands over once there is somebody to hand over to."""
    agent = Agent(home, played.process)
    first, *later = many(played, 40)
    agent.writer.submit(first)
    agent.writer.flush(30.0)
    assert not agent.is_beside_sidecar
    receive()
    for caught in later:
        agent.writer.submit(caught)
        agent.writer.flush(30.0)
    assert agent.is_beside_sidecar
    agent.end()
    assert {f"a{n}" for n in range(40)} == exchanges(home)


@pytest.mark.parametrize("size", [150_000, 400_000])
def test_large_bodies_arrive(played: Played, home: Path, receive: Any, size: int) -> None:
    """Bodies that no message holds come in a file in memory."""
    receiver = receive()
    agent = Agent(home, played.process)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * size}]}).encode()
    for caught in many(played, 5):
        agent.writer.submit(replace(caught, request_body=body))
    agent.writer.flush(60.0)
    assert agent.is_beside_sidecar
    agent.end()
    assert receiver.communicate("", timeout=20)[0] == "5\n"
    assert 5 == sum(size < len(r.body) for r in written(home) if isinstance(r, Content))


def test_calls_of_many_threads_are_all_there(played: Played, home: Path, receive: Any) -> None:
    """Threads that hand over at the same time lose nothing."""
    receiver = receive()
    agent = Agent(home, played.process)
    calls = many(played, 400)
    threads = [threading.Thread(target=lambda n=n: [agent.writer.submit(c) for c in calls[n::8]]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    agent.end()
    receiver.communicate("", timeout=10)
    assert {f"a{n}" for n in range(400)} == exchanges(home)


def test_an_interrupted_handover_hands_over_both(played: Played, home: Path, receive: Any) -> None:
    """A signal handler that ends a call while another one is being handed over loses neither."""
    receiver = receive()
    agent = Agent(home, played.process)
    calls, interruptions = iter(many(played, 3000)), 0

    def interrupt(*_: Any) -> None:
        nonlocal interruptions
        interruptions += 1
        agent.writer.submit(next(calls))

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for _ in range(2500):
            agent.writer.submit(next(calls))
            if interruptions == 20:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    agent.end(20.0)
    receiver.communicate("", timeout=10)
    given = int(next(calls).attempt.attempt_id[1:])
    assert {f"a{n}" for n in range(given)} == exchanges(home)
    assert interruptions


def test_tokens_of_what_is_handed_over_are_told(played: Played, home: Path, receive: Any) -> None:
    """A policy's budget hears of steered calls from the agent itself, whoever parses them."""
    receive()
    agent, spent = Agent(home, played.process), list[int]()
    agent.writer._spent = spent.append
    first, second = many(played, 2)
    usage = '{"prompt_tokens": 30, "completion_tokens": 12}'
    agent.writer.submit(first)
    agent.writer.flush(30.0)
    steered = replace(second, is_spending=True, attempt=replace(second.attempt, usage_fragment=usage))
    agent.writer.submit(steered)
    assert agent.is_beside_sidecar
    assert [42] == spent
    agent.end()


def test_another_users_socket_gets_nothing(
    played: Played, home: Path, receive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever listens in the home but is not this user is told nothing."""
    receive()
    monkeypatch.setattr(handover, "peer_uid", lambda _: os.geteuid() + 1)
    assert None is connect(home, played.process, "redacted", Journal())


def test_nobody_is_found_where_nobody_is(played: Played, tmp_path: Path) -> None:
    """A folder that is not there, whatever its path, and one without a socket, are the same: nobody."""
    for home in (tmp_path / "none", tmp_path / ("x" * 120), tmp_path):
        assert None is connect(home, played.process, "off", Journal())


def test_a_home_of_a_long_path_is_served(played: Played, tmp_path: Path) -> None:
    """A socket's address holds 107 bytes; a home that lies deeper is reached through its open folder."""
    home = tmp_path / ("x" * 120)
    home.mkdir()
    receiver = Receiver.open(Settings(home=home))
    assert receiver is not None
    receiver.start()
    handover = connect(home, played.process, "off", Journal())
    assert handover is not None
    handover.close()
    receiver.stop()
    assert [] == [path for path in home.iterdir() if path.is_socket()]


def test_an_error_of_ours_in_a_handover_loses_nothing(
    played: Played, home: Path, receive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be offered is parsed in the agent; in what other processes can't unpack, too."""
    receive()
    agent = Agent(home, played.process)
    agent.writer.submit(many(played, 1)[0])
    agent.writer.flush(30.0)
    assert agent.is_beside_sidecar
    monkeypatch.delenv("TRIMTAB_STRICT", raising=False)

    def broken(self: Any, caught: Any) -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr(handover.Handover, "offer", broken)
    for caught in many(played, 20):
        agent.writer.submit(caught)
    agent.end(20.0)
    assert {f"a{n}" for n in range(20)} == exchanges(home)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_a_sidecar_is_looked_for_holds_nothing_of_it(
    played: Played, home: Path, receive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the connection that is being made nor the folder it is reached through is open in the child."""
    receive()
    monkeypatch.setattr(handover, "MAX_ADDRESS_BYTES", 0)
    codes = []

    def held(links: set[str]) -> int:
        """How many of these this process has open; the sidecar's own ends are in it, too, and come and go."""
        paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return len(links & {os.readlink(path) for path in paths if os.path.lexists(path)})

    def peer_uid(end: Any) -> int:
        with handover.address(home):
            ours = {os.readlink(f"/proc/self/fd/{end.fileno()}"), str(home)}
            assert held(ours) == 2
            pid = os.fork()
            if pid == 0:
                os._exit(held(ours))
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return os.geteuid()

    monkeypatch.setattr(handover, "peer_uid", peer_uid)
    handed = connect(home, played.process, "off", Journal())
    assert handed is not None
    handed.close()
    assert [0] == codes
    assert held({str(home)}) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_leaves_its_parents_connection(played: Played, home: Path, receive: Any) -> None:
    """A child says nothing on its parent's connection, and keeps it open for nobody."""
    receiver = receive()
    agent = Agent(home, played.process)
    agent.writer.submit(many(played, 1)[0])
    agent.writer.flush(30.0)
    sidecar = agent.writer._sidecar
    assert sidecar is not None
    pid = os.fork()
    if pid == 0:
        os._exit(0 if sidecar.is_broken and sidecar._end.fileno() < 0 else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for caught in many(played, 3):
        agent.writer.submit(caught)
    agent.end()
    assert receiver.communicate("", timeout=10)[0] == "4\n"

"""The sidecar's end: whatever a peer sends, it goes on receiving from the others, and holds no more than it should."""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer import frames
from trimtab_tracer.caught import Caught
from trimtab_tracer.collect import Collector
from trimtab_tracer.handover import IS_ABLE, connect
from trimtab_tracer.memory import Journal
from trimtab_tracer.receiver import Receiver
from trimtab_tracer.records import Attempt, Exchange, Loss, Process
from trimtab_tracer.settings import Settings
from trimtab_tracer.sites import UNKNOWN
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tracer.store import Store
from trimtab_tracer.wire import formats

pytestmark = pytest.mark.skipif(not IS_ABLE, reason="this system has no such sockets")

PROCESS = Process("a" * 32, os.getpid(), 2, "s", "a.py", "/", "3", "0", "redacted")
HELLO = frames.hello(PROCESS, "redacted")
LIMIT_S = 10.0


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """One that listens."""
    monkeypatch.setattr(Receiver, "HELLO_S", 0.3)
    made = Receiver.open(Settings(home=tmp_path))
    assert made is not None
    made.start()
    yield made
    made.stop()


@pytest.fixture
def peer(receiver: Receiver, tmp_path: Path) -> Iterator[Callable[[], socket.socket]]:
    """Connections to it, closed at the end."""
    ends: list[socket.socket] = []

    def connected() -> socket.socket:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends.append(end)
        end.settimeout(LIMIT_S)
        end.connect(str(tmp_path / frames.SOCKET))
        return end

    yield connected
    for end in ends:
        end.close()


def caught(number: int, body: bytes = b'{"model": "m", "messages": []}') -> Caught:
    """A captured call."""
    facts: Any = ("openai.chat", "POST", "h", "/v1/chat/completions", "s", "complete")
    attempt = Attempt(f"a{number}", "c", "r", PROCESS.process_id, 1, 1, 1, *facts, http_status=200)
    return Caught(attempt, formats.CHAT, body, b'{"id": "x"}', "application/json", "", UNKNOWN, None)


def message(number: int) -> bytes:
    """Its message."""
    return b"".join(frames.attempt(number, caught(number))[0])


def is_shown_out(end: socket.socket) -> bool:
    """Whether the other end closes the connection."""
    try:
        while said := end.recv(1 << 18):
            assert said[:1] in (frames.WELCOME, frames.ACK)
    except ConnectionResetError:
        pass
    return True


def written(home: Path, kind: type) -> list[Any]:
    """Records of a kind in the spool."""
    lines = (line for path in list_segments(home / "spool") for line in read_segment(path))
    return [line.record for line in lines if isinstance(line.record, kind)]


def still_works(home: Path) -> bool:
    """Whether an agent that comes now is served."""
    handover = connect(home, PROCESS, "redacted", Journal())
    assert handover is not None
    assert handover.offer(caught(99))
    end = time.monotonic() + LIMIT_S
    while not handover.is_settled(handover.sent) and time.monotonic() < end:
        handover.hear(0.1)
        handover.read()
    is_settled = handover.is_settled(handover.sent)
    handover.close()
    return is_settled and "a99" in {exchange.attempt_id for exchange in written(home, Exchange)}


def until(holds: Callable[[], bool]) -> bool:
    """Whether it holds before long."""
    end = time.monotonic() + LIMIT_S
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_what_a_dead_agent_sent_is_read_though_it_read_no_acks(
    receiver: Receiver, peer: Callable[[], socket.socket], tmp_path: Path
) -> None:
    """Linux tells of unread data by a reset that comes before what the dead end had sent: none of that is lost."""
    end = peer()
    end.sendall(HELLO)
    for number in range(1, 21):
        end.sendall(message(number))
    assert until(lambda: receiver.attempts == 20)
    for number in range(21, 41):
        end.sendall(message(number))
    end.close()
    assert until(lambda: receiver.attempts == 40)
    assert {f"a{number}" for number in range(1, 41)} == {e.attempt_id for e in written(tmp_path, Exchange)}


def test_acks_that_an_agent_had_no_room_for_come_when_it_has_read(
    receiver: Receiver, peer: Callable[[], socket.socket]
) -> None:
    """They do not wait for its next message: it may be waiting for them."""
    end = peer()
    end.sendall(HELLO)
    assert until(lambda: len(receiver._agents) == 1)
    (agent,) = receiver._agents.values()
    agent.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that there is

    def is_taken(number: int) -> bool:
        end.sendall(message(number))
        return until(lambda: receiver.attempts == number)

    number = 0
    while not agent.is_awaited and number < 200:
        number += 1
        assert is_taken(number)
    assert until(lambda: agent.is_awaited)
    assert end.recv(1 << 18) == frames.WELCOME
    while frames.read_ack(end.recv(1 << 18))[0] < number:
        pass
    assert until(lambda: not agent.is_awaited)


def test_a_later_connection_is_not_taken_for_an_earlier_one(receiver: Receiver, tmp_path: Path) -> None:
    """Segments of connections that were collected and removed leave names that no later connection uses."""
    settings = Settings(home=tmp_path)
    with Store.open(settings.store_path) as store:
        collector = Collector(store, settings)
        for turn in range(3):
            handover = connect(tmp_path, PROCESS, "redacted", Journal())
            assert handover is not None
            for number in range(5):
                assert handover.offer(caught(10 * turn + number))
            seen = 5 * (turn + 1)
            assert until(lambda seen=seen: receiver.attempts == seen)  # type: ignore[misc]
            handover.close()
            assert until(lambda: not receiver._agents)

            def is_removed() -> bool:
                collector.collect_once()
                return not list_segments(tmp_path / "spool")

            assert until(is_removed)  # once the receiver's writer has finished it
        con = store.cursor()
        assert [(15,)] == con.execute("SELECT count(DISTINCT attempt_id) FROM waiting_exchanges").fetchall()
        con.close()


def test_only_this_user_may_connect(receiver: Receiver, tmp_path: Path) -> None:
    """The socket's mode lets nobody else in."""
    mode = (tmp_path / frames.SOCKET).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert 0o600 == stat.S_IMODE(mode)


def test_another_user_is_shown_out(
    receiver: Receiver, peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of another user gets nothing, whatever the mode of the socket is."""
    monkeypatch.setattr("trimtab_tracer.receiver.peer_uid", lambda _: os.geteuid() + 1)
    assert is_shown_out(peer())
    monkeypatch.undo()
    assert still_works(tmp_path)


ATTEMPT = message(1)
ODD = {
    "garbage first": [b"GET / HTTP/1.1\r\n\r\n"],
    "another version": [HELLO.replace(b'"version": 1', b'"version": 2')],
    "no hello": [ATTEMPT],
    "an unknown kind": [HELLO, b"Zzz"],
    "half an attempt": [HELLO, ATTEMPT[: len(ATTEMPT) // 2]],
    "no head": [HELLO, ATTEMPT[:5]],
    "huge lengths": [HELLO, ATTEMPT[:10] + struct.pack("<IIii", 2**32 - 1, 2**32 - 1, 2**31 - 1, 2**31 - 1)],
    "negative lengths": [HELLO, ATTEMPT[:10] + struct.pack("<IIii", 1, 1, -7, -7) + b"xx"],
    "out of turn": [HELLO, message(7)],
    "twice": [HELLO, ATTEMPT, ATTEMPT],
    "another process": [HELLO, ATTEMPT.replace(b"a" * 32, b"b" * 32)],
    "a file that is none": [HELLO, ATTEMPT[:9] + b"\2" + ATTEMPT[10:26] + b"{}[]"],
    "too long": [HELLO, b"A" * (frames.MAX_MESSAGE_BYTES + 1)],
    "a second hello": [HELLO, HELLO],
}


@pytest.mark.parametrize("name", ODD)
def test_a_peer_that_says_odd_things_is_shown_out(
    receiver: Receiver, peer: Any, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, and logged in one line; the next agent is served as before."""
    end = peer()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    for said in ODD[name]:
        end.sendall(said)
    assert is_shown_out(end)
    assert still_works(tmp_path)
    assert 1 == receiver.refused
    assert 1 == sum("shown out" in line for line in caplog.messages)


def test_odd_memos_are_forgotten(receiver: Receiver, peer: Any, tmp_path: Path) -> None:
    """What a peer remembers wrongly is not remembered, and what it then sends is written."""
    end = peer()
    for said in (HELLO, frames.MEMORY + b'{}\n[1]\n\xff\n[[],[],[],[],[],[],[]]\n["r","c",[[{},"x"]],[],null,null,[]]'):
        end.sendall(said)
    end.sendall(ATTEMPT)
    assert frames.WELCOME == end.recv(100)
    assert 1 == frames.read_ack(end.recv(1 << 18))[0]
    assert ["a1"] == [exchange.attempt_id for exchange in written(tmp_path, Exchange)]


def test_a_file_shorter_than_said_is_no_attempt(receiver: Receiver, peer: Any, tmp_path: Path) -> None:
    """Bodies that are not where they should be are not waited for."""
    end = peer()
    end.sendall(HELLO)
    parts, _ = frames.attempt(1, caught(1, b"x" * 1000))
    fd = os.memfd_create("short")
    os.write(fd, b"x" * 10)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))
    before = len(os.listdir("/proc/self/fd"))
    end.sendmsg(frames.without_bodies(parts), [rights])
    assert is_shown_out(end)
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert still_works(tmp_path)


def test_silent_peers_do_not_stay(receiver: Receiver, peer: Any, tmp_path: Path) -> None:
    """Who never says who it is loses its place."""
    ends = [peer() for _ in range(5)]
    assert all(is_shown_out(end) for end in ends)
    assert still_works(tmp_path)


def test_there_is_room_for_so_many(
    receiver: Receiver, peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One peer too many is shown out; those that are there stay."""
    monkeypatch.setattr(Receiver, "MAX_AGENTS", 2)
    ends = [peer() for _ in range(2)]
    for end in ends:
        end.sendall(HELLO)
        assert frames.WELCOME == end.recv(100)
    assert is_shown_out(peer())
    ends[0].sendall(ATTEMPT)
    assert 1 == frames.read_ack(ends[0].recv(1 << 18))[0]


def test_what_can_not_be_parsed_is_counted(
    receiver: Receiver, peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours costs one exchange, which is told as a loss, and acknowledged."""

    def fail(*_: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr("trimtab_tracer.exchange.ExchangeBuilder.build", fail)
    end = peer()
    end.sendall(HELLO)
    end.sendall(ATTEMPT)
    assert frames.WELCOME == end.recv(100)
    assert 1 == frames.read_ack(end.recv(1 << 18))[0]
    assert [("exchange", "not parsed", 1)] == [(x.lost_kind, x.reason, x.count) for x in written(tmp_path, Loss)]


def test_the_next_one_takes_the_place_of_a_dead_one(receiver: Receiver, tmp_path: Path) -> None:
    """A socket that was left behind is no obstacle; at the end there is none."""
    receiver.stop()
    assert not (tmp_path / frames.SOCKET).exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(tmp_path / frames.SOCKET))
    other = Receiver.open(Settings(home=tmp_path))
    assert other is not None
    other.start()
    assert still_works(tmp_path)
    other.stop()

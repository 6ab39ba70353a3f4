"""The sidecar's end of the socket in its home: takes captured bytes from agents, and writes what they say to the spool.

In: messages of any number of agents (:mod:`.frames`). Out: records in segments of each agent's process, as the agent's
own thread would have written them (:class:`.exchange.ExchangeBuilder`, one per agent, order kept), and then an ack:
what was acknowledged is in the spool, what was not the agent still has. Bytes cross memory alone; what is written went
through redaction before. A module of its own because it runs in the sidecar's process, beside the collector, and
trusts nobody: only processes of this user are let in, and a peer that says anything odd is shown out, logged and
counted.

What it holds is bounded: by agents, by message, by the spool's own limits, and by sockets that are not read while it
works. Where it can't listen (no such sockets, a file system without them) it says so once, and agents
do the work by themselves.
"""

from __future__ import annotations

import array
import logging
import os
import selectors
import socket
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from . import frames
from .exchange import ExchangeBuilder
from .frames import FrameError
from .handover import IS_ABLE, address, peer_uid
from .memory import encode_memo
from .records import Loss, Record
from .redact import redact
from .settings import Settings
from .spool import SpoolWriter

log = logging.getLogger("trimtab.receiver")


class Receiver:
    """Listens in a home, in a thread of its own. :meth:`open` makes one, :meth:`start` and :meth:`stop` run it."""

    MAX_AGENTS = 128
    """Connections at a time, each with a segment: later ones are closed, and those agents do the work by themselves."""
    HELLO_S = 5.0
    """How long a connection may be without a hello."""
    TURN = 64
    """Messages of one agent before the next one has its turn."""
    LAST_TURNS = 64
    """Turns that each agent has when we stop."""
    ACK_BYTES = 1 << 20
    """Bodies after which an ack does not wait for the end of the turn."""
    MAX_ACKS = 1024
    """Attempts whose acks an agent may leave unread."""
    GATHER_S = 0.02
    """How long messages gather in the sockets between two looks. While agents work nobody waits at the sockets: a send
    that wakes somebody costs ten times one that does not, and the system often lets the woken one run first."""
    CALM_S = 0.5
    """How long nothing must have come before we wait at the sockets."""
    LOG_S = 60.0
    """Least time between two log lines about peers that were shown out."""

    def __init__(self, listener: socket.socket, path: Path, settings: Settings) -> None:
        self._listener = listener
        self._path = path
        self._settings = settings
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._agents: dict[int, _Agent] = {}
        self._buffer = bytearray(frames.MAX_MESSAGE_BYTES)
        self._stopping = False
        self._busy_until = 0.0
        self._logged_at = -self.LOG_S
        self.attempts = 0
        """Attempts whose records were written."""
        self.refused = 0
        """Peers that were shown out."""
        self._thread = threading.Thread(target=self._run, name="trimtab-receiver", daemon=True)

    @classmethod
    def open(cls, settings: Settings) -> Receiver | None:
        """Listen in the home of ``settings``; None, with a line in the log, where that can't be.

        Call it while no other sidecar serves the home: what lies at the socket's place is taken for a dead one's.
        """
        if not IS_ABLE:
            return None
        path = settings.home / frames.SOCKET
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if path.is_socket():
                path.unlink()
            with address(settings.home) as where:
                listener.bind(where)
            path.chmod(0o600)  # nobody can connect before it listens
            listener.listen(64)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            log.warning("%s: can't listen there (%s); agents parse what they capture by themselves.", path, error)
            return None
        return cls(listener, path, settings)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Take what was sent so far, acknowledge it, and leave; the spool's segments are finished."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.send(b"\0")
        if self._thread.ident is not None:
            self._thread.join()
        self._path.unlink(missing_ok=True)
        for end in (self._listener, self._wake, self._woken):
            end.close()
        self._selector.close()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        _give_way()
        while not self._stopping:
            try:
                self._look()
            except Exception as error:  # of ours: the agents' connections and what they sent are still there
                log.error("agents could not be heard; going on: %s", _told(error))
                time.sleep(self.CALM_S)
        for agent in list(self._agents.values()):
            for _ in range(self.LAST_TURNS):  # what comes after them the agent takes back
                if agent.fd not in self._agents or not self._serve(agent):
                    break
            self._send_acks(agent)
            self._close(agent)

    def _look(self) -> None:
        """Read what there is; wait for it where nothing came for a while, else a moment after."""
        is_calm = time.monotonic() >= self._busy_until
        before = self.attempts
        for key, events in self._selector.select((self.HELLO_S if self._agents else None) if is_calm else 0.0):
            if key.fileobj is self._listener:
                self._accept()
            elif (agent := self._agents.get(key.fd)) is not None:
                if events & selectors.EVENT_READ:
                    self._serve(agent)
                self._send_acks(agent)
        self._look_after()
        if self.attempts != before:
            self._busy_until = time.monotonic() + self.CALM_S
        if not is_calm:
            time.sleep(self.GATHER_S)

    def _accept(self) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError:  # it left already, or there are too many files open
            return
        end.setblocking(False)
        if peer_uid(end) != os.geteuid() or len(self._agents) >= self.MAX_AGENTS:
            end.close()
            self._refuse("another user's process, or too many agents")
            return
        agent = _Agent(end)
        self._agents[agent.fd] = agent
        self._selector.register(end, selectors.EVENT_READ)

    def _serve(self, agent: _Agent) -> bool:
        """Read what an agent has sent, for one turn; whether there may be more."""
        try:
            for _ in range(self.TURN):
                try:
                    message, fds = self._receive(agent.end)
                except ConnectionResetError:  # it ended with acks unread: what it had sent comes after this, said once
                    continue
                try:
                    if message is None:
                        self._close(agent)
                        return False
                    self._take(agent, message, fds)
                    if agent.unacked_bytes >= self.ACK_BYTES:
                        self._send_acks(agent)
                finally:
                    for fd in fds:
                        os.close(fd)
        except (BlockingIOError, InterruptedError):
            return False
        except (FrameError, OSError) as error:
            self._refuse(redact(str(error)[:200]))
            self._close(agent)
            return False
        except Exception as error:  # of ours: this agent does the work by itself
            log.error("an agent's message could not be read: %s", _told(error))
            self._close(agent)
            return False
        return True

    def _receive(self, end: socket.socket) -> tuple[memoryview | None, list[int]]:
        """One message and the descriptors that came with it; None at the end of the connection."""
        size, ancillary, flags, _ = end.recvmsg_into([self._buffer], socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            for fd in fds:
                os.close(fd)
            raise FrameError("a message that is too long")
        return (memoryview(self._buffer)[:size] if size else None), list(fds)

    def _take(self, agent: _Agent, message: memoryview, fds: list[int]) -> None:
        kind = bytes(message[:1])
        if agent.builder is None or agent.spool is None:
            said = frames.read_hello(bytes(message))
            agent.process_id = said.process.process_id
            agent.builder = ExchangeBuilder(said.content_mode)
            series = f"{time.time_ns():x}"  # of this connection: no later one writes a segment of the same name
            limit = self._settings.spool_max_bytes
            agent.spool = SpoolWriter(self._settings.spool_dir, said.process, limit, series=series)
            agent.end.send(frames.WELCOME)
        elif kind == frames.ATTEMPT:
            self._write(agent, agent.builder, agent.spool, frames.read_attempt(message), fds)
        elif kind == frames.MEMORY:
            for line in bytes(message[1:]).split(b"\n"):
                agent.builder.journal.add(line)
            agent.is_stale = True
        else:
            raise FrameError(f"a message of unknown kind {kind!r}")

    def _write(
        self, agent: _Agent, builder: ExchangeBuilder, spool: SpoolWriter, arrived: frames.Arrived, fds: list[int]
    ) -> None:
        if arrived.number != agent.number + 1:
            raise FrameError("an attempt out of turn")
        bodies = _read_file(fds, arrived.file_bytes) if arrived.file_bytes else arrived.bodies
        captured = frames.captured(arrived, bodies, agent.process_id)
        if agent.is_stale:
            agent.is_stale = False
            builder.restore()
        memo = b""
        try:
            records: list[Record] = builder.build(captured)
            memo = encode_memo(builder.journal.latest())
        except Exception as error:
            log.error("an attempt could not be parsed, which is counted: %s", _told(error))
            records = [Loss(agent.process_id, "exchange", "not parsed", 1, len(bodies), time.time_ns())]
        spool.write_all(records)
        agent.number = arrived.number
        agent.acks.append((arrived.number, memo))
        agent.unacked_bytes += len(bodies)
        self.attempts += 1

    def _look_after(self) -> None:
        """Leave those who never said who they are."""
        for agent in list(self._agents.values()):
            if agent.builder is None and time.monotonic() - agent.since > self.HELLO_S:
                self._refuse("no hello")
                self._close(agent)

    def _send_acks(self, agent: _Agent) -> None:
        agent.unacked_bytes = 0
        while agent.acks:
            taken, size = 0, 0
            while taken < len(agent.acks) and size <= frames.MAX_MESSAGE_BYTES // 4:
                size += len(agent.acks[taken][1])
                taken += 1
            memos = [memo for _, memo in agent.acks[:taken] if memo]
            try:
                agent.end.send(frames.ack(agent.acks[taken - 1][0], memos))
            except (BlockingIOError, InterruptedError):  # it has enough to read: the rest when it has read
                if len(agent.acks) > self.MAX_ACKS:
                    self._refuse("an agent that reads no acks")
                    self._close(agent)
                break
            except OSError:  # it is gone; what it sent is read to its end
                agent.acks.clear()
                break
            del agent.acks[:taken]
        if bool(agent.acks) != agent.is_awaited and self._agents.get(agent.fd) is agent:
            agent.is_awaited = bool(agent.acks)
            writing = selectors.EVENT_WRITE if agent.is_awaited else 0
            self._selector.modify(agent.end, selectors.EVENT_READ | writing)

    def _refuse(self, why: str) -> None:
        self.refused += 1
        if time.monotonic() - self._logged_at >= self.LOG_S:
            self._logged_at = time.monotonic()
            log.warning("%s: a peer was shown out: %s (%d so far).", self._path, why, self.refused)

    def _close(self, agent: _Agent) -> None:
        if self._agents.pop(agent.fd, None) is None:
            return
        self._selector.unregister(agent.end)
        agent.end.close()
        if agent.spool is not None:
            agent.spool.close()


class _Agent:
    """One connection."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.fd = end.fileno()
        self.since = time.monotonic()
        self.process_id = ""
        self.builder: ExchangeBuilder | None = None
        self.spool: SpoolWriter | None = None
        self.is_stale = False
        """Whether the builder's journal came from elsewhere and is not in its memory yet."""
        self.number = 0
        """Of the last attempt whose records are written."""
        self.acks: list[tuple[int, bytes]] = []
        """What is to be acknowledged: number and memo."""
        self.is_awaited = False
        """Whether it is waited for that it reads acks, to be sent more of them."""
        self.unacked_bytes = 0


def _told(error: Exception) -> str:
    """Type and place of an error of ours, without its message: that may quote what an agent sent."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"


def _give_way() -> None:
    """Let the calling thread run when others need not: it has time, and an agent waits for its model already."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


def _read_file(fds: list[int], size: int) -> bytes:
    """The bodies in the file that came with a message.

    Raises:
        FrameError: there is none, or it is shorter.
    """
    if not fds:
        raise FrameError("an attempt without the file of its bodies")
    parts, at = [], 0
    while at < size and (part := os.pread(fds[0], size - at, at)):
        parts.append(part)
        at += len(part)
    if at < size:
        raise FrameError("an attempt whose file is too short")
    return b"".join(parts)

"""The sidecar: one process beside the agents that collects, prices, analyses, recommends and answers questions.

In: a home (:class:`~trimtab_tracer.settings.Settings`) with whatever agents spooled into it, since seconds or days.
Out: the store, kept up to date, the policy file, and the API on loopback. Four loops work at their own pace: the
collector looks into the spool, the analysis runs only when something new came in, the policy is issued again while it
holds, and experiments are learned from where there are any. All go on after any single exception. When the sidecar
ends, the policy file stays: it holds for its lifetime.

It may be killed at any moment: what counts is committed in the store or still in the spool, and the next start goes
on from there. A store that DuckDB itself has given up (disk full in the middle of a commit) can't be repaired from
inside; then the sidecar ends with one sentence, and again nothing is lost. What stands in the way of a start (port,
home, lock, store) raises an error with the next step before anything is changed.
"""

from __future__ import annotations

import errno
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import duckdb

from trimtab_tracer import __version__
from trimtab_tracer.collect import Collector
from trimtab_tracer.errors import SidecarError, StoreError
from trimtab_tracer.ingest import ingest
from trimtab_tracer.policy_signature import reader_token
from trimtab_tracer.prices import PriceList
from trimtab_tracer.receiver import Receiver
from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

from . import home
from .control import Control
from .control.campaigns import is_wanted
from .loops import Loop, LoopState
from .waiting import Bell

if TYPE_CHECKING:
    import uvicorn

    from .models import Health, LoopHealth
    from .notices import Notifier
    from .tune import Tuner


class Sidecar:
    """A sidecar in this process; a context manager that serves between entering and leaving.

    Building it takes the home, the port and the store, or raises. :meth:`start` serves, :meth:`stop` takes a last
    look into the spool, analyses it and leaves everything closed.

    Raises:
        SidecarError: the home is served already or can't be used; the port is taken.
        StoreError: the store is locked, newer than this version, or damaged.
    """

    STOP_S = 3.0
    """How long requests in flight may take to finish when the sidecar stops."""
    LOOK_S = 0.25
    """How long it may take until a signal is noticed."""
    START_S = 60.0
    """How long the API may take to answer after it was started."""
    STEER_INTERVAL_S = 1.0
    """Pause between two looks at who obeyed the policy, what that cost, and whether the file is as it was left."""

    NOTICE_INTERVAL_S = 5.0
    """Pause between two looks at what a webhook is to be told of."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._started_ns = time.time_ns()
        self._records = 0
        self._tuner: Tuner | None = None
        self._notifier: Notifier | None = None
        self._analyses = 0
        self._problems = 0
        self._has_news = threading.Event()
        self._has_news.set()  # a sidecar that was killed may have left something unanalysed
        self._ends: queue.SimpleQueue[StoreError | None] = queue.SimpleQueue()
        self._server: uvicorn.Server | None = None
        self._serving: threading.Thread | None = None
        home.prepare(settings.home)
        with ExitStack() as undo:
            lock = home.HomeLock(settings)
            undo.callback(lock.release)
            self._socket = listen(settings.host, settings.port)
            undo.callback(self._socket.close)
            self._token = home.token(settings)
            self._store = Store.open(settings.store_path)
            undo.callback(self._close_store)
            self._prices = PriceList(settings.prices)
            self._collector = Collector(self._store, settings)
            self._control = Control(self._store, settings)
            self._receiver = Receiver.open(settings)
            if self._receiver is not None:
                undo.callback(self._receiver.stop)
            self._bell = Bell()
            self._control.listen(self._bell.ring)
            self._undo = undo.pop_all()
        self._collecting = Loop("collector", self._collect, settings.collect_interval_s)
        self._analysing = Loop("analysis", self._analyze, settings.analyze_interval_s)
        self._steering = Loop("policy", self._steer, self.STEER_INTERVAL_S)
        self._tuning = Loop("tuning", self._tune, self.STEER_INTERVAL_S)
        self._noticing = Loop("notices", self._notice, self.NOTICE_INTERVAL_S) if settings.notify_url else None
        self._beside = ExitStack()  # ends what was started beside the API and asks it, such as a dashboard
        self.url = _url(settings.host, self._socket.getsockname()[1])

    def start(self) -> Self:
        """Collect, serve and analyse in threads of their own; returns when the API answers."""
        self._steering.once()  # the policy is published before anyone is told that we are here
        self._collecting.start()
        if self._receiver is not None:
            self._receiver.start()
        self._serve()
        note = home.Note(os.getpid(), self.url, self._started_ns, __version__)
        home.write_note(self.settings, note)
        self._undo.callback(home.remove_note, self.settings)
        self._analysing.start()
        self._steering.start()
        self._tuning.start()
        if self._noticing is not None:
            self._noticing.start()
        return self

    def wait(self) -> None:
        """Block until someone calls :meth:`request_stop`.

        Raises:
            StoreError: the store has failed for good.
        """
        while True:
            # Not one long wait: once polars has run, SIGINT no longer interrupts that, and Ctrl-C would do nothing.
            with suppress(queue.Empty):
                error = self._ends.get(timeout=self.LOOK_S)
                break
        if error is not None:
            raise error

    def request_stop(self) -> None:
        """Let :meth:`wait` return. Safe in a signal handler: a SimpleQueue may be re-entered."""
        self._ends.put(None)

    def stop(self) -> None:
        """Stop serving, take in and analyse what is still in the spool, close everything."""
        self._beside.close()
        self._control.close()
        self._bell.stop()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            self._serving.join()
        if self._receiver is not None:
            self._receiver.stop()  # before the last look into the spool, to which it writes
        self._collecting.stop()
        self._analysing.stop()
        self._steering.stop()
        self._tuning.stop()
        if self._noticing is not None:
            self._noticing.stop()
        self._collecting.once()
        self._analysing.once()
        self._undo.close()

    def show_dashboard(self, on_ready: Callable[[str], None]) -> None:
        """Start the dashboard beside the API; ``on_ready`` gets its address whenever it has come up."""
        from .dashboard_process import DashboardProcess

        dashboard = DashboardProcess(self.settings, self.url, self._token, on_ready)
        self._beside.callback(dashboard.stop)
        dashboard.start()

    @property
    def problems(self) -> int:
        """What the last look into the spool could not take; it stays there, and the log says why."""
        return self._problems

    def health(self) -> Health:
        """What ``/v1/health`` says."""
        from .models import Health

        loops = (self._collecting.state, self._analysing.state, self._steering.state, self._tuning.state)
        published = self._control.published()
        return Health(
            status="ok" if not self._problems and all(state.is_healthy for state in loops) else "degraded",
            version=__version__,
            pid=os.getpid(),
            started_ns=self._started_ns,
            records=self._records,
            spool_problems=self._problems,
            analyses=self._analyses,
            collector=_health_of(loops[0]),
            analysis=_health_of(loops[1]),
            policy=_health_of(loops[2]),
            tuning=_health_of(loops[3]),
            policy_version=published.version,
            frozen=published.is_frozen,
        )

    def __enter__(self) -> Self:
        """Start."""
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _close_store(self) -> None:
        with suppress(duckdb.Error):  # a store that has failed can't be closed either; its log is replayed on opening
            self._store.close()

    def _collect(self) -> None:
        progress = self._collector.collect_once()
        self._records += progress.records
        self._problems = len(progress.errors)
        if progress.records or progress.segments:  # a removed segment may have ended the runs of a dead process
            self._has_news.set()
        if progress.errors:
            self._end_if_failed()

    def _end_if_failed(self) -> None:
        """Let :meth:`wait` raise if DuckDB has given up the store: then nothing can be read or written any more."""
        try:
            with closing(self._store.cursor()) as con:
                con.execute("SELECT 1 FROM ingest_ledger LIMIT 1").fetchall()
        except duckdb.FatalException as error:
            self._ends.put(StoreError.failed(self.settings.store_path, error))

    def _analyze(self) -> None:
        if not self._has_news.is_set():
            return
        self._has_news.clear()
        try:
            if not self._is_bare():
                self._find()
            self._analyses += 1
        except BaseException:
            self._has_news.set()
            raise

    def _is_bare(self) -> bool:
        """Whether the store holds no run and nothing that was said of one: a new home, where every sidecar begins."""
        tables = ("runs", "findings", "recommendations")
        with closing(self._store.cursor()) as con:
            return not any(con.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall() for table in tables)

    def _find(self) -> None:
        # Brings polars and scipy, which collecting and answering need not wait for.
        from trimtab_analyzer.findings import analyze, persist
        from trimtab_analyzer.inferred import infer
        from trimtab_analyzer.run_waste import refresh

        from .recommend import recommend

        with self._store.transaction() as con:
            infer(con)
        with closing(self._store.cursor()) as con:
            refresh(con, self._store.transaction, self._prices)
            found = analyze(con, prices=self._prices)
            proposals = recommend(con, found, self.settings)
        with self._store.transaction() as con:
            persist(con, found)
        self._control.propose(proposals)

    def _steer(self) -> None:
        """Who obeyed the policy, what that cost, is it published: each is looked after whatever the others raise."""
        try:
            with ExitStack() as each:
                each.callback(self._control.refresh)
                each.callback(self._control.note_obeyed)
                each.callback(self._control.check_spend)
        except duckdb.Error:
            self._end_if_failed()
            raise

    def _tune(self) -> None:
        if self._tuner is None:
            with closing(self._store.cursor()) as con:
                if not is_wanted(con, self.settings):
                    return
            from .tune import Tuner  # brings numpy, scipy and river, which most sidecars never need

            self._tuner = Tuner(self._store, self._control, self.settings)
        self._tuner.step()

    def _notice(self) -> None:
        if not self._analyses:  # what is found in what was there before is no news
            return
        if self._notifier is None:
            from .notices import Notifier

            self._notifier = Notifier(self._store, self.settings)
        self._notifier.step()

    def _take(self, records: list[Record], replace_runs: Sequence[str]) -> None:
        ingest(self._store, records, prices=self._prices, replace_runs=replace_runs)
        self._has_news.set()

    def _serve(self) -> None:
        """Run the API in a thread, so that signals and the end of the process stay ours."""
        import uvicorn

        from .api import create_app
        from .gate import Gate, Keys, own_hosts, own_origins
        from .routing import Backend

        port = self._socket.getsockname()[1]
        policy_key = home.policy_key(self.settings)
        keys = Keys(self._token, home.read_only_token(self.settings), reader_token(policy_key))
        backend = Backend(
            store=self._store,
            control=self._control,
            bell=self._bell,
            told=self._has_news.set,
            settings=self.settings,
            keys=keys,
            policy_key=policy_key,
            health=self.health,
            take=self._take,
        )
        hosts, origins = own_hosts(port), own_origins(port, self.settings.dashboard_port)
        gate = Gate(create_app(backend), keys, hosts, origins)
        config = uvicorn.Config(
            gate,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(self.STOP_S),
        )
        self._server = uvicorn.Server(config)
        self._serving = threading.Thread(
            target=self._server.run, args=([self._socket],), name="trimtab-api", daemon=True
        )
        self._serving.start()
        end = time.monotonic() + self.START_S
        while not self._server.started:
            if not self._serving.is_alive() or time.monotonic() > end:
                raise SidecarError(f"The API did not start on {self.url}; the log above says why.")
            time.sleep(0.005)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises:
        SidecarError: the port is taken, or the address can't be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with the protocol named does asyncio set TCP_NODELAY: without it each answer takes 40 ms (delayed ACK).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections must not block a restart
        listener.bind((host, port))
        listener.listen(128)  # at once: two sockets may be bound to one port as long as neither listens
    except OSError as error:
        with suppress(OSError):
            listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SidecarError.port_in_use(host, port) from None
        raise SidecarError.cannot_listen(host, port, error) from None
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _health_of(state: LoopState) -> LoopHealth:
    from .models import LoopHealth

    return LoopHealth(
        steps=state.steps,
        failures=state.failures,
        ok_ns=state.ok_ns,
        failed_ns=state.failed_ns,
        error=state.error,
    )

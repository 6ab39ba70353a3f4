from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer import content
from trimtab_tracer import records as r
from trimtab_tracer.collect import NOT_STORABLE, QUARANTINE, Collector
from trimtab_tracer.segments import CORRUPT, TORN, UNKNOWN, encode, frame, read_boot_id
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter, list_segments
from trimtab_tracer.store import Store

GONE = 2**22 + 9  # no process has this pid


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Settings of an empty home with an empty spool."""
    settings = Settings(home=tmp_path)
    settings.spool_dir.mkdir()
    return settings


@pytest.fixture
def store(home: Settings) -> Iterator[Store]:
    """The home's store."""
    with Store.open(home.store_path) as store:
        yield store


def process(process_id: str = "p", pid: int | None = None) -> r.Process:
    """This process, or one with another pid."""
    texts = dict.fromkeys(("service", "script", "cwd", "python", "trimtab", "content_mode"), "x")
    return r.Process(process_id, pid or os.getpid(), time.time_ns(), **texts, boot_id=read_boot_id())


def attempt(number: int, **more: Any) -> r.Attempt:
    """A finished attempt of run ``run``, told from others by its number."""
    ids = (f"a{number}", f"c{number}", "run", "p", 1, number, 5)
    return r.Attempt(*ids, "openai.chat", "POST", "h", "/v1/chat/completions", "site", "complete", **more)


def start(run_id: str = "run") -> r.RunStart:
    """The start of a run that nobody ends."""
    return r.RunStart(run_id, "p", 1, "run", "explicit")


def left_behind(home: Settings, *lines: bytes, name: str = "p-000001.seg", pid: int = GONE) -> Path:
    """A segment that a killed agent left: its process, and then these lines."""
    path = home.spool_dir / name
    path.write_bytes(b"".join([encode(process(pid=pid)), *lines]))
    return path


def ids(store: Store) -> list[str]:
    """Attempts in the store."""
    return [row for (row,) in store.cursor().sql("SELECT attempt_id FROM attempts ORDER BY started_ns").fetchall()]


def losses(store: Store) -> dict[tuple[str, str], int]:
    """Counted losses by kind and reason."""
    found = store.cursor().sql("SELECT lost_kind, reason, sum(count) FROM losses GROUP BY ALL").fetchall()
    return {(kind, reason): int(count) for kind, reason, count in found}


def test_a_living_agents_records_come_in_as_it_writes(home: Settings, store: Store) -> None:
    """Records of an open segment are collected once each; the segment stays until its writer is done with it."""
    writer, collector = SpoolWriter(home.spool_dir, process(), 1 << 20), Collector(store, home)
    writer.write(attempt(1))
    assert collector.collect_once() == (2, 0, ())  # the process and the attempt
    assert collector.collect_once() == (0, 0, ())
    writer.write(attempt(2))
    assert collector.collect_once() == (1, 0, ())
    assert len(list_segments(home.spool_dir)) == 1
    writer.close()
    assert collector.collect_once() == (0, 1, ())
    assert (ids(store), list(home.spool_dir.iterdir())) == (["a1", "a2"], [])


def test_live_agents_share_a_transaction(home: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What several agents wrote since the last look is one commit, with a ledger row for each segment."""
    commits: list[int] = []
    begin = Store.transaction
    monkeypatch.setattr(Store, "transaction", lambda self: (commits.append(1), begin(self))[1])
    writers = [SpoolWriter(home.spool_dir, process(f"p{n}"), 1 << 20) for n in range(5)]
    for n, writer in enumerate(writers):
        writer.write(attempt(n))
        writer.write(r.Content(f"a{n}", f"c{n}", "run", "request", 1, f"text {n}"))
    collector = Collector(store, home)
    commits.clear()
    assert collector.collect_once() == (15, 0, ())
    assert (len(commits), len(ids(store))) == (1, 5)
    found = store.cursor().sql("SELECT process_id, records FROM ingest_ledger ORDER BY ALL").fetchall()
    assert found == [(f"p{n}", 3) for n in range(5)]
    assert [content.read(store, store.content_dir, f"c{n}")[0]["body"] for n in range(5)] == [
        f"text {n}" for n in range(5)
    ]
    for writer in writers:
        writer.close()
    assert collector.collect_once().segments == 5


def test_a_record_that_spoils_a_shared_transaction_is_found(home: Settings, store: Store) -> None:
    """Where one agent's record does not fit, those of the others come in, and it alone is counted."""
    left_behind(home, encode(attempt(1)), encode(attempt(2, chunks=2**70)))
    left_behind(home, encode(attempt(3)), name="q-000001.seg")
    assert Collector(store, home).collect_once().segments == 2
    assert (ids(store), losses(store)) == (["a1", "a3"], {("attempt", NOT_STORABLE): 1})


def test_a_new_collector_goes_on_where_the_last_one_stopped(home: Settings, store: Store) -> None:
    """The ledger in the store, not the collector, knows what was taken in."""
    writer = SpoolWriter(home.spool_dir, process(), 1 << 20)
    for n in range(10):
        writer.write(attempt(n))
        assert Collector(store, home).collect_once().records == (2 if n == 0 else 1)
    writer.close()
    assert len(ids(store)) == 10


def test_an_empty_or_missing_spool_is_fine(home: Settings, store: Store) -> None:
    """Nothing to collect is no error, also before the first agent ran."""
    home.spool_dir.rmdir()
    assert Collector(store, home).collect_once() == (0, 0, ())


def test_a_file_where_the_spool_should_be(home: Settings, store: Store) -> None:
    """A spool that is no folder gives a sentence with the next step, and no exception."""
    home.spool_dir.rmdir()
    home.spool_dir.write_text("in the way")
    (sentence,) = Collector(store, home).collect_once().errors
    assert "spool can't be read" in sentence
    assert "Make it a folder" in sentence


def test_damaged_lines_are_skipped_and_counted(home: Settings, store: Store) -> None:
    """A corrupt line, a record we do not know and a torn end cost only themselves, each counted."""
    corrupt = b"00000000" + encode(attempt(2))[8:]
    unknown = frame({"kind": "later_invention"})
    left_behind(home, encode(attempt(1)), corrupt, unknown, encode(attempt(3)), encode(attempt(4))[:30])
    assert Collector(store, home).collect_once() == (3, 1, ())
    assert ids(store) == ["a1", "a3"]
    assert losses(store) == {("record", CORRUPT): 1, ("record", UNKNOWN): 1, ("record", TORN): 1}


def test_a_torn_segment_with_a_successor_is_not_counted_twice(home: Settings, store: Store) -> None:
    """A writer that went on after a torn line reports the loss itself; the collector does not count it again."""
    left_behind(home, encode(attempt(1)), encode(attempt(2))[:30])
    left_behind(home, encode(r.Loss("p", "attempt", "disk full", 1, 300, 5)), name="p-000002.seg")
    assert Collector(store, home).collect_once().segments == 2
    assert losses(store) == {("attempt", "disk full"): 1}


def test_a_segment_with_a_broken_head_keeps_the_rest(home: Settings, store: Store) -> None:
    """Where only the first line is damaged the other records are still taken in."""
    path = home.spool_dir / "p-000001.seg"
    path.write_bytes(b"not our line\n" + encode(attempt(1)) + frame({"kind": "end"}))
    assert Collector(store, home).collect_once() == (1, 1, ())
    assert (ids(store), losses(store)) == (["a1"], {("record", CORRUPT): 1})


def test_a_file_that_is_no_segment_is_put_aside(home: Settings, store: Store) -> None:
    """Garbage with a segment's name moves to the quarantine with the reason beside it; the others come in."""
    garbage = home.spool_dir / "odd-000001.seg"
    garbage.write_bytes(b"GIF89a\n" * 100)
    left_behind(home, encode(attempt(1)))
    done = Collector(store, home).collect_once()
    assert (done.records, done.segments) == (2, 1)
    assert "none of its lines is a record of ours" in done.errors[0]
    moved = home.spool_dir / QUARANTINE
    assert {path.name for path in moved.iterdir()} == {"odd-000001.seg", "odd-000001.seg.reason.txt"}
    assert (moved / "odd-000001.seg").read_bytes() == b"GIF89a\n" * 100
    assert losses(store) == {("record", "quarantined segment"): 100}


def test_a_folder_named_like_a_segment_is_put_aside(home: Settings, store: Store) -> None:
    """A folder in a segment's place stops nothing."""
    (home.spool_dir / "odd-000001.seg").mkdir()
    left_behind(home, encode(attempt(1)))
    done = Collector(store, home).collect_once()
    assert (done.segments, "it is a folder" in done.errors[0]) == (1, True)
    assert (home.spool_dir / QUARANTINE / "odd-000001.seg").is_dir()


def test_a_file_just_begun_is_left_alone(home: Settings, store: Store) -> None:
    """A file without a whole line may be about to get one; an old empty one is removed, an old half line put aside."""
    empty, half = (home.spool_dir / f"{name}-000001.seg" for name in ("empty", "half"))
    empty.touch()
    half.write_bytes(b"0123")
    collector = Collector(store, home)
    assert collector.collect_once() == (0, 0, ())
    long_ago = time.time() - 2 * Collector.GRACE_S
    for path in (empty, half):
        os.utime(path, (long_ago, long_ago))
    done = collector.collect_once()
    assert (done.segments, len(done.errors)) == (1, 1)
    assert [path.name for path in home.spool_dir.iterdir()] == [QUARANTINE]


def test_a_newer_segment_stays(home: Settings, store: Store) -> None:
    """What a newer trimtab wrote stays in the spool until the sidecar is upgraded; the rest comes in."""
    newer = home.spool_dir / "new-000001.seg"
    newer.write_bytes(encode(replace(process("new"), schema_version=r.SCHEMA_VERSION + 1)))
    left_behind(home, encode(attempt(1)))
    done = Collector(store, home).collect_once()
    assert done.segments == 1
    assert "Upgrade trimtab" in done.errors[0]
    assert newer.exists()


def test_one_bad_record_does_not_hold_up_the_others(home: Settings, store: Store) -> None:
    """A sound line whose value its table refuses is counted as lost; every other record of the batch is stored."""
    bad = attempt(50, chunks="many")
    left_behind(
        home, *(encode(attempt(n)) for n in range(50)), encode(bad), *(encode(attempt(n)) for n in range(51, 80))
    )
    assert Collector(store, home).collect_once() == (80, 1, ())
    assert ids(store) == [f"a{n}" for n in range(80) if n != 50]
    assert losses(store) == {("attempt", NOT_STORABLE): 1}


def test_batches_are_bounded(home: Settings, store: Store) -> None:
    """A big segment is taken in by several transactions, whose records add up."""
    left_behind(home, *(encode(attempt(n)) for n in range(25)))
    collector = Collector(store, home)
    collector.BATCH_RECORDS = 10
    assert collector.collect_once() == (26, 1, ())
    assert store.cursor().sql("SELECT records, closed FROM ingest_ledger").fetchall() == [(26, True)]


def test_stopping_keeps_what_is_left(home: Settings, store: Store) -> None:
    """A collector that was told to stop takes nothing more; the next one does."""
    left_behind(home, encode(attempt(1)))
    collector = Collector(store, home)
    collector.stop()
    assert collector.collect_once() == (0, 0, ())
    assert Collector(store, home).collect_once() == (2, 1, ())


def test_a_killed_agents_runs_are_ended(home: Settings, store: Store) -> None:
    """A run whose process is gone ends in error with its last record; one of a living process stays open."""
    left_behind(home, encode(start()), encode(attempt(7)))
    writer = SpoolWriter(home.spool_dir, process("alive"), 1 << 20)
    writer.write(replace(start("other"), process_id="alive"))
    Collector(store, home).collect_once()
    found = store.cursor().sql("SELECT run_id, status, end_rule, ended_ns FROM runs ORDER BY run_id").fetchall()
    assert found == [("other", None, None, None), ("run", "error", "process vanished", 12)]
    writer.close()


def test_a_run_is_not_ended_before_all_of_it_is_in(home: Settings, store: Store) -> None:
    """While segments of a dead process can't be read, its runs stay open."""
    left_behind(home, encode(start()), frame({"kind": "end"}))
    later = home.spool_dir / "p-000002.seg"
    later.write_bytes(encode(replace(process(), schema_version=r.SCHEMA_VERSION + 1)))
    collector = Collector(store, home)
    assert collector.collect_once().segments == 1
    assert store.cursor().sql("SELECT status FROM runs").fetchall() == [(None,)]
    left_behind(home, encode(r.RunEnd("run", 9, "ok", "block exit")), name=later.name)
    collector.collect_once()
    assert store.cursor().sql("SELECT status, end_rule FROM runs").fetchall() == [("ok", "block exit")]


def test_what_a_crash_left_between_commit_and_delete_goes(home: Settings, store: Store) -> None:
    """A segment whose end is committed but which is still there is removed and not taken in again."""
    path = left_behind(home, encode(attempt(1)))
    whole = path.read_bytes()
    Collector(store, home).collect_once()
    path.write_bytes(whole)
    assert Collector(store, home).collect_once() == (0, 1, ())
    assert not path.exists()
    assert store.cursor().sql("SELECT records FROM ingest_ledger").fetchall() == [(2,)]


def test_a_full_disk_keeps_the_spool(home: Settings) -> None:
    """Where the store can't grow (a file size limit here) the spool stays whole, and comes in when there is room."""
    texts = [r.Content(f"a{n}", f"c{n}", "run", "request", 1, os.urandom(200).hex()) for n in range(1000)]
    lines = [line for n in range(1000) for line in (encode(attempt(n)), encode(texts[n]))]
    path = left_behind(home, *lines)
    code = textwrap.dedent(f"""
        import resource, sys
        from pathlib import Path
        from trimtab_tracer.collect import Collector
        from trimtab_tracer.settings import Settings
        from trimtab_tracer.store import Store
        settings = Settings(home=Path({str(home.home)!r}))
        store = Store.open(settings.store_path)
        for limit in (200_000, resource.RLIM_INFINITY):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            done = Collector(store, settings).collect_once()
            print(done.segments, len(done.errors), *done.errors)
        store.close()
    """)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    full, roomy = said.split("\n", 1)
    assert full.startswith("0 1 ")
    assert "It stays and is tried again." in full
    assert (roomy, path.exists()) == ("1 0\n", False)
    with Store.open(home.store_path) as store:
        assert len(ids(store)) == 1000
        assert store.cursor().sql("SELECT count(*) FROM content").fetchall() == [(1000,)]

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import textwrap
import threading
import time
import typing
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab_tracer import records as r
from trimtab_tracer.errors import SpoolError
from trimtab_tracer.segments import CORRUPT, UNKNOWN, claim, encode, frame, parse_name, read_boot_id
from trimtab_tracer.spool import SpoolWriter, is_closed, list_segments, read_process, read_segment

MEGABYTE = 1 << 20
BIGINT = st.integers(-(2**63), 2**63 - 1)

JSON = st.recursive(
    st.none() | st.booleans() | BIGINT | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ANY_TEXT = st.text(st.characters(codec=None), max_size=30)  # lone surrogates and line ends included


def values(hint: Any) -> st.SearchStrategy[Any]:
    """A strategy for a record field's type."""
    simple = {
        str: ANY_TEXT,
        int: st.integers(-(2**63), 2**63 - 1),
        bool: st.booleans(),
        type(None): st.none(),
        Any: JSON,
    }
    if hint in simple:
        return simple[hint]
    if hint is float:
        return st.floats(allow_nan=False)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), JSON, max_size=3)
    if arguments:
        return st.one_of(*map(values, arguments))
    return records_of(hint)


def records_of(kind: type) -> st.SearchStrategy[Any]:
    """A strategy for records of one kind."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: values(hints[f.name]) for f in fields(kind) if f.name != "schema_version"})


ANY_RECORD = st.one_of(*map(records_of, typing.get_args(r.Record)))


def process(process_id: str = "p1", **more: Any) -> r.Process:
    """This process, or another life of it."""
    here = {"pid": os.getpid(), "ts_ns": time.time_ns(), "boot_id": read_boot_id()} | more
    named = {
        "service": "agent",
        "script": "a.py",
        "cwd": "/",
        "python": "3.11",
        "trimtab": "0.1",
        "content_mode": "full",
    }
    return r.Process(process_id=process_id, **named, **here)


def attempt(number: int) -> r.Attempt:
    """A finished attempt, told from others by its number."""
    ids = (f"a{number}", f"c{number}", "run", "p1", 1, 10**18, 5)
    wire = ("openai.chat", "POST", "localhost:1", "/v1/chat/completions", "site", "complete")
    return r.Attempt(*ids, *wire, http_status=200, model="gpt-4o", usage_fragment='{"prompt_tokens":10}')


def content(number: int, size: int = 1000) -> r.Content:
    """A response's text of ``size`` characters."""
    return r.Content(f"a{number}", f"c{number}", "run", "response", 10**18, "x" * size)


def spooled(directory: Path) -> list[r.Record]:
    """Every record in the spool but the processes."""
    found = [line.record for path in list_segments(directory) for line in read_segment(path)]
    return [record for record in found if record is not None and not isinstance(record, r.Process)]


def losses(directory: Path) -> Counter[tuple[str, str]]:
    """Losses reported in the spool, by kind and reason."""
    counted: Counter[tuple[str, str]] = Counter()
    for record in spooled(directory):
        if isinstance(record, r.Loss):
            counted[record.lost_kind, record.reason] += record.count
    return counted


HALF_A_CHARACTER = r.Decision("d1", "run", "model", "m", "code", "site", 1, seen={}, verdict="\ud800")
"""Is written the slow way, and says of what it has seen that it is nothing, which isn't that it saw nothing."""


@given(st.lists(ANY_RECORD, max_size=5))
@example([HALF_A_CHARACTER])
@settings(max_examples=60)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[r.Record]) -> None:
    """Whatever records are written are read again, equal and in order, from one finished segment."""
    spool = tmp_path_factory.mktemp("spool")
    writer = SpoolWriter(spool, process(), 100 * MEGABYTE)
    assert all(writer.write(record) for record in written)
    writer.close()
    lines = [line for path in list_segments(spool) for line in read_segment(path)]
    assert written == [line.record for line in lines[1:-1]]
    assert not written or (process().process_id == lines[0].record.process_id and lines[-1].is_end)


@given(st.data())
@settings(max_examples=60)
def test_cut_at_any_byte(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A segment cut at any byte gives every record before the cut and nothing else."""
    spool = tmp_path_factory.mktemp("spool")
    lines = [encode(process()), *(encode(attempt(n)) for n in range(4)), encode(content(5)), frame({"kind": "end"})]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    path = spool / "p1-000001.seg"
    path.write_bytes(whole[:cut])
    read = list(read_segment(path))
    expected = [n for n in range(len(lines)) if sum(map(len, lines[: n + 1])) <= cut]
    assert len(expected) == len(read)
    assert [attempt(n) for n in range(4)][: max(0, len(expected) - 1)] == [x.record for x in read[1:5]]
    assert all(line.problem is None for line in read)
    assert sum(len(lines[n]) for n in expected) == (read[-1].next_offset if read else 0)


@given(st.integers(0, 2000), st.integers(0, 255))
@settings(max_examples=60)
def test_a_damaged_byte_costs_its_line_only(tmp_path_factory: pytest.TempPathFactory, at: int, value: int) -> None:
    """One wrong byte spoils at most the line it is in and the next; no record is invented."""
    written = [attempt(n) for n in range(6)]
    raw = bytearray(b"".join(map(encode, written)))
    at %= len(raw)
    changed = raw[at] != value
    raw[at] = value
    path = tmp_path_factory.mktemp("spool") / "p1-000001.seg"
    path.write_bytes(raw)
    lines = list(read_segment(path))
    read = [line.record for line in lines if line.record is not None]
    assert all(record in written for record in read)
    assert len(read) >= len(written) - (2 if changed else 0)
    assert not changed or len(read) < len(written)
    assert all(line.problem in (None, CORRUPT) for line in lines)


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The offset behind a line is where the next one begins, and an unfinished line is left for later."""
    path = tmp_path / "p1-000001.seg"
    first, second = encode(attempt(1)), encode(attempt(2))
    path.write_bytes(first + second[:20])
    (line,) = read_segment(path)
    assert (attempt(1), len(first)) == (line.record, line.next_offset)
    path.write_bytes(first + second)
    (later,) = read_segment(path, line.next_offset)
    assert attempt(2) == later.record


def test_unknown_records_are_told_from_damaged_ones(tmp_path: Path) -> None:
    """A sound line of a kind or shape we do not know is skipped with a problem of its own."""
    path = tmp_path / "p1-000001.seg"
    path.write_bytes(frame({"kind": "later_invention"}) + frame({"kind": "loss", "odd": 1}) + encode(attempt(1)))
    assert [line.problem for line in read_segment(path)] == [UNKNOWN, UNKNOWN, None]


def test_a_newer_schema_stops_the_reader(tmp_path: Path) -> None:
    """A segment of a newer trimtab is refused with a sentence that says what to upgrade."""
    path = tmp_path / "p1-000001.seg"
    path.write_bytes(encode(process(schema_version=r.SCHEMA_VERSION + 1)))
    with pytest.raises(SpoolError, match=r"Upgrade trimtab where the sidecar runs"):
        list(read_segment(path))


def test_files_are_private(tmp_path: Path) -> None:
    """The spool and its missing parents are made for this user only, and so are the segments."""
    spool = tmp_path / "home" / "spool"
    writer = SpoolWriter(spool, process(), MEGABYTE)
    assert writer.write(attempt(1))
    (segment,) = list_segments(spool)
    assert [path.stat().st_mode & 0o777 for path in (spool.parent, spool, segment)] == [0o700, 0o700, 0o600]
    assert parse_name(segment.name) == ("p1", 1)
    writer.close()


def test_threads_share_a_writer(tmp_path: Path) -> None:
    """Records of many threads are all there, each whole, across several segments."""
    writer = SpoolWriter(tmp_path, process(), 100 * MEGABYTE, segment_bytes=20_000)

    def work(base: int) -> None:
        assert all(writer.write(attempt(base + n)) for n in range(100))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert {f"a{1000 * t + n}" for t in range(4) for n in range(100)} == {x.attempt_id for x in spooled(tmp_path)}
    assert len(list_segments(tmp_path)) > 3


def test_an_attempt_costs_little(tmp_path: Path) -> None:
    """Encoding and appending an attempt takes about 10 us; the budget here allows for a busy machine."""
    writer = SpoolWriter(tmp_path, process(), 100 * MEGABYTE)
    record = attempt(1)
    times = []
    for _ in range(2000):
        start = time.perf_counter_ns()
        writer.write(record)
        times.append(time.perf_counter_ns() - start)
    writer.close()
    assert statistics.median(times) < 100_000


def test_content_goes_first(tmp_path: Path) -> None:
    """Near the bound content is dropped while attempts are kept, and every dropped record is counted."""
    writer = SpoolWriter(tmp_path, process(), 200_000)
    kept = [writer.write(content(n)) for n in range(300)]
    assert all(writer.write(attempt(n)) for n in range(20))
    writer.close()
    assert kept.count(True) == len([x for x in spooled(tmp_path) if isinstance(x, r.Content)]) > 100
    assert {("content", "spool nearly full"): kept.count(False)} == losses(tmp_path)
    assert sum(path.stat().st_size for path in list_segments(tmp_path)) <= 200_000


def test_at_the_bound_the_oldest_segment_goes(tmp_path: Path) -> None:
    """With nothing left to give up, the oldest finished segments go; kept and lost add up to what was written."""
    writer = SpoolWriter(tmp_path, process(), 100_000)
    written = 800
    assert all(writer.write(attempt(n)) for n in range(written))
    writer.close()
    kept = [int(x.attempt_id[1:]) for x in spooled(tmp_path) if isinstance(x, r.Attempt)]
    assert list(range(written - len(kept), written)) == kept
    assert {("attempt", "spool full"): written - len(kept)} == losses(tmp_path)
    assert sum(path.stat().st_size for path in list_segments(tmp_path)) <= 100_000 + 1_000


def test_a_segment_being_collected_is_not_dropped(tmp_path: Path) -> None:
    """At the bound a writer leaves alone what a collector holds, and gives up segments of its own instead."""
    other = SpoolWriter(tmp_path, process("other"), MEGABYTE)
    other.write(content(1, 60_000))
    other.close()
    writer = SpoolWriter(tmp_path, process(), 70_000)
    with claim(tmp_path / "other-000001.seg") as mine:
        assert mine
        assert all(writer.write(attempt(n)) for n in range(60))
    writer.close()
    kept = [x for x in spooled(tmp_path) if isinstance(x, r.Attempt)]
    assert (tmp_path / "other-000001.seg").exists()
    assert {("attempt", "spool full"): 60 - len(kept)} == losses(tmp_path)


def test_odd_values_never_raise(tmp_path: Path) -> None:
    """A record that is no JSON is lost and counted; one with odd values inside is kept as text."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE)
    endless: dict[str, Any] = {}
    endless["self"] = endless
    assert not writer.write(r.Decision("d1", "run", "knob", endless, "code", "s", 1))
    assert writer.write(r.Decision("d2", "run", "knob", {"at": Path("/x"), (1, 2): 3}, "code", "s", 1))
    assert writer.write(r.Decision("d3", "run", "knob", float("nan"), "code", "s", 1))
    writer.close()
    assert losses(tmp_path) == {("decision", "not encodable"): 1}
    assert next(x for x in spooled(tmp_path) if isinstance(x, r.Decision)).value == {"at": "/x"}


def test_a_file_where_the_spool_should_be(tmp_path: Path) -> None:
    """While the spool can't be made records are lost and counted; once it can, writing goes on by itself."""
    spool = tmp_path / "spool"
    spool.write_text("in the way")
    writer = SpoolWriter(spool, process(), MEGABYTE)
    assert [writer.write(attempt(n)) for n in range(2)] == [False, False]
    spool.unlink()
    time.sleep(SpoolWriter.RETRY_INTERVAL_S)
    assert writer.write(attempt(2))
    writer.close()
    assert losses(tmp_path / "spool") == {("attempt", "spool not writable"): 2}


@given(st.lists(ANY_RECORD, max_size=6))
@settings(max_examples=40)
def test_several_at_once_are_read_like_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, written: list[r.Record]
) -> None:
    """What is written together has the same lines as what is written apart."""
    spools = [tmp_path_factory.mktemp(name) for name in ("together", "apart")]
    together, apart = (SpoolWriter(spool, process(), 100 * MEGABYTE) for spool in spools)
    for _ in range(2):  # into no segment yet, and into one
        together.write_all(written)
        for record in written:
            assert apart.write(record)
    assert spooled(spools[1]) == spooled(spools[0])


def test_several_at_once_are_counted_one_by_one(tmp_path: Path) -> None:
    """Near the bound content goes and the attempt beside it stays; what can't be encoded takes nothing with it."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE)
    writer.write_all([attempt(n) for n in range(4)])
    writer.write_all([content(0, 900_000), attempt(4), content(1, 20 * MEGABYTE), attempt(5)])
    circle: dict[str, Any] = {}
    circle["self"] = circle
    writer.write_all([attempt(6), r.RunStart("r", "p", 1, "n", "explicit", attributes=circle)])
    writer.close()
    assert [f"a{n}" for n in range(7)] == [x.attempt_id for x in spooled(tmp_path) if isinstance(x, r.Attempt)]
    kinds = {("content", "spool nearly full"): 1, ("content", "too large"): 1, ("run_start", "not encodable"): 1}
    assert kinds == losses(tmp_path)


def test_several_at_once_on_a_disk_that_takes_half(tmp_path: Path) -> None:
    """Where one write of several lines is cut, each of them is there once: whole lines stay, the rest follows."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE)
    assert writer.write(attempt(0))
    real = os.write
    cuts = [700]

    def cutting(fd: int, data: bytes) -> int:
        return real(fd, data[: cuts.pop()] if cuts else data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "write", cutting)
        writer.write_all([attempt(n) for n in range(1, 6)])
    writer.close()
    assert [f"a{n}" for n in range(6)] == [x.attempt_id for x in spooled(tmp_path) if isinstance(x, r.Attempt)]
    assert losses(tmp_path).total() == 0


def test_a_full_disk(tmp_path: Path) -> None:
    """ENOSPC from the kernel loses the record at hand and nothing later; the segment goes on when there is room."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE)
    assert writer.write(attempt(0))
    (segment,) = list_segments(tmp_path)
    fd = next(int(n) for n in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{n}") == str(segment))
    kept, full = os.dup(fd), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, fd)
    assert [writer.write(attempt(n)) for n in (1, 2)] == [False, False]
    os.dup2(kept, fd)
    os.close(full)
    os.close(kept)
    assert writer.write(attempt(3))
    writer.close()
    assert [x.attempt_id for x in spooled(tmp_path) if isinstance(x, r.Attempt)] == ["a0", "a3"]
    assert losses(tmp_path) == {("attempt", "disk full"): 2}


def test_a_torn_write_begins_a_new_segment(tmp_path: Path) -> None:
    """Where the disk takes half a line (a file size limit here), nothing after the torn line is lost."""
    script = textwrap.dedent(f"""
        import resource
        from pathlib import Path
        exec(Path({str(tmp_path / "records.py")!r}).read_text())
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
        writer = SpoolWriter(Path({str(tmp_path / "spool")!r}), process, 1 << 20)
        kept = [writer.write(attempt(n)) for n in range(40)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        kept += [writer.write(attempt(n)) for n in range(40, 50)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        time.sleep(SpoolWriter.RETRY_INTERVAL_S)
        kept += [writer.write(attempt(n)) for n in range(50, 60)]
        writer.close()
        print(kept.count(True), kept.count(False))
    """)
    (tmp_path / "records.py").write_text(
        f"import time\nfrom trimtab_tracer.records import *\nfrom trimtab_tracer.spool import SpoolWriter\n"
        f"process = {process()!r}\ndef attempt(n):\n    from dataclasses import replace\n"
        f"    return replace({attempt(0)!r}, attempt_id=f'a{{n}}')\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    kept = [x.attempt_id for x in spooled(tmp_path / "spool") if isinstance(x, r.Attempt)]
    assert [f"a{n}" for n in (*range(40), *range(50, 60))] == kept
    assert out.strip() == "50 10"
    assert losses(tmp_path / "spool").total() == 10
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_spool_removed_under_a_writer(tmp_path: Path) -> None:
    """A writer whose segment was deleted notices, counts what was in it and goes on in a new one."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE)
    assert all(writer.write(attempt(n)) for n in range(3))
    (segment,) = list_segments(tmp_path)
    segment.unlink()
    time.sleep(SpoolWriter.SCAN_INTERVAL_S + 0.05)
    assert writer.write(attempt(9))
    writer.close()
    assert [x.attempt_id for x in spooled(tmp_path) if isinstance(x, r.Attempt)] == ["a9"]
    assert losses(tmp_path) == {("attempt", "segment deleted"): 3}


def test_a_forked_child_has_segments_of_its_own(tmp_path: Path) -> None:
    """A child that writes through the inherited writer does not touch the parent's segment."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE)
    assert writer.write(attempt(1))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if writer.write(attempt(2)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert writer.write(attempt(3))
    own, other = sorted(list_segments(tmp_path), key=lambda path: path.name != "p1-000001.seg")
    assert [x.record.attempt_id for x in read_segment(own) if isinstance(x.record, r.Attempt)] == ["a1", "a3"]
    assert [x.record.attempt_id for x in read_segment(other) if isinstance(x.record, r.Attempt)] == ["a2"]
    assert (is_closed(own, read_process(own)), is_closed(other, read_process(other))) == (False, True)
    writer.close()


def test_closed_is_what_its_writer_left(tmp_path: Path) -> None:
    """A segment is open while its writer lives, and closed by its end line or by a later segment."""
    writer = SpoolWriter(tmp_path, process(), MEGABYTE, segment_bytes=1)
    assert writer.write(attempt(1))
    (first,) = list_segments(tmp_path)
    assert not is_closed(first, read_process(first))
    assert writer.write(attempt(2))
    first, second = list_segments(tmp_path)
    assert (is_closed(first, read_process(first)), is_closed(second, read_process(second))) == (True, False)
    writer.close()
    assert is_closed(second, read_process(second))


@pytest.mark.parametrize(
    ("writer", "closed"),
    [
        (process(), False),
        (process(ts_ns=time.time_ns() - 10**18), True),
        (process(pid=2**22 + 5), True),
    ],
    ids=["this process", "its pid was reused", "no such process"],
)
def test_the_dead_leave_closed_segments(tmp_path: Path, writer: r.Process, closed: bool) -> None:
    """A segment without an end is closed when its process is gone, also if another one has its pid by now."""
    path = tmp_path / "p1-000001.seg"
    path.write_bytes(encode(writer) + encode(attempt(1)))
    assert closed == is_closed(path, writer)


def test_losses_are_said_once_with_the_next_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A home that can't be written costs no exception, and one sentence tells what is lost and what to do."""
    (tmp_path / "home").write_text("a file")
    writer = SpoolWriter(tmp_path / "home" / "spool", process(), 1 << 20)
    assert not any(writer.write(attempt(n)) for n in range(50))
    assert 1 == len(caplog.messages)
    assert "spool not writable: Not a directory" in caplog.messages[0]
    assert "TRIMTAB_HOME" in caplog.messages[0]
    writer.close()
    assert "50 attempt" in caplog.messages[-1]


def test_new_home_stays_out_of_version_control(tmp_path: Path) -> None:
    """The agent that makes the home tells git to leave it alone."""
    SpoolWriter(tmp_path / "home" / "spool", process(), 1 << 20).write(attempt(1))
    assert (tmp_path / "home" / ".gitignore").read_text().endswith("*\n")

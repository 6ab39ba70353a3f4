"""Runs: where they begin and end, how they nest, and what came of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trimtab
from trimtab_tracer.records import Outcome, RunEnd, RunStart, Site
from trimtab_tracer.spool import list_segments, read_segment

Recorded = Callable[[type], list[Any]]


def test_block_is_a_run(recorded: Recorded) -> None:
    """A run has a name, a task, attributes, a start and an end."""
    with trimtab.run("triage", task="T-1", team="blue", size=3) as run:
        pass
    (start,), (end,) = recorded(RunStart), recorded(RunEnd)
    assert ("triage", "T-1", {"team": "blue", "size": 3}) == (start.name, start.task, start.attributes)
    assert (run.run_id, run.run_id, "ok", "block exit") == (start.run_id, end.run_id, end.status, end.rule)


def test_exception_leaves_the_run_and_is_pinned(recorded: Recorded) -> None:
    """An exception passes through unchanged; the run says which and through which line it left."""
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught, trimtab.run("triage"):
        raise error
    (end,) = recorded(RunEnd)
    site = next(s for s in recorded(Site) if s.site_id == end.site_id)
    assert caught.value is error
    assert ("error", "ZeroDivisionError", "mine") == (end.status, end.error_type, end.error_message)
    assert "raise error" == site.source


def test_any_value_tells_a_task(recorded: Recorded) -> None:
    """Ids that are no text are taken as their text; an outcome of another type is read as yes or no."""
    with trimtab.run("triage", task=1001, harness=2) as run:  # type: ignore[arg-type]
        run.outcome("yes", score=1)  # type: ignore[arg-type]
    (start,), (outcome,) = recorded(RunStart), recorded(Outcome)
    assert ("1001", "2", True, 1.0) == (start.task, start.harness, outcome.success, outcome.score)


def test_generator_is_not_followed_and_says_so(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """A generator runs when others read it: decorating one changes nothing and is answered with advice."""

    @trimtab.run("steps")
    def steps() -> Iterator[int]:
        yield 1

    assert [1] == list(steps())
    assert "can't follow the generator" in caplog.text
    assert [] == recorded(RunStart)


def test_nested_runs_know_their_parent(recorded: Recorded) -> None:
    """A run inside a run names it, and the outer one goes on afterwards."""
    with trimtab.run("outer") as outer:
        with trimtab.run("inner"):
            pass
        trimtab.outcome(True)
    starts = {r.name: r for r in recorded(RunStart)}
    assert (None, outer.run_id) == (starts["outer"].parent_run_id, starts["inner"].parent_run_id)
    assert [outer.run_id] == [o.run_id for o in recorded(Outcome)]


def test_decorator_makes_each_call_a_run(recorded: Recorded) -> None:
    """Decorated functions and coroutine functions make one run per call and return what they return."""

    @trimtab.run("answer")
    def answer(x: int) -> int:
        return x + 1

    @trimtab.run("later")
    async def later(x: int) -> int:
        return x + 2

    assert (2, 3, 3) == (answer(1), answer(2), asyncio.run(later(1)))
    assert ["answer", "answer", "later"] == [r.name for r in recorded(RunStart)]


def test_outcome_is_what_was_said(recorded: Recorded) -> None:
    """Success, score and comment arrive as given, by block or by id."""
    with trimtab.run("a") as run:
        run.outcome(False, score=0.25, comment="wrong city")
    trimtab.outcome(True, run_id=run.run_id)
    first, second = recorded(Outcome)
    assert (False, 0.25, "wrong city", "explicit") == (first.success, first.score, first.comment, first.source)
    assert (True, run.run_id) == (second.success, second.run_id)


def test_run_left_in_another_context_is_ended(recorded: Recorded) -> None:
    """An async generator that is finished elsewhere ends its run without a word."""

    async def steps() -> AsyncIterator[int]:
        with trimtab.run("generated"):
            yield 1
            yield 2

    async def agent() -> None:
        generator = steps()
        await anext(generator)
        await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]

    asyncio.run(agent())
    assert ["generated"] == [r.name for r in recorded(RunStart)]
    assert 1 == len(recorded(RunEnd))


def test_without_tracing_a_run_is_a_plain_block() -> None:
    """Code that declares runs works where nothing is instrumented."""
    with trimtab.run("untraced") as run:
        run.outcome(True)
        trimtab.outcome(False)
    assert run.run_id is None


def outcome_of(tmp_path: Path, program: str) -> tuple[RunStart, RunEnd, int]:
    """Start and end of the run that a whole process is, and the process's exit code."""
    script = tmp_path / "agent.py"
    script.write_text("import trimtab\ntrimtab.instrument()\n" + program)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={"TRIMTAB_STRICT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    records = [line.record for path in list_segments(tmp_path / ".trimtab/spool") for line in read_segment(path)]
    (start,) = [r for r in records if isinstance(r, RunStart)]
    (end,) = [r for r in records if isinstance(r, RunEnd)]
    return start, end, done.returncode


@pytest.mark.parametrize(("code", "status"), [(0, "ok"), (3, "error")])
def test_leaving_through_os_exit_ends_the_run(tmp_path: Path, code: int, status: str) -> None:
    """A process that skips its exit handlers has an end all the same, and its exit code stays."""
    _, end, returned = outcome_of(tmp_path, f"import os\nos._exit({code})\n")
    assert (status, "process exit", code) == (end.status, end.rule, returned)


def test_tracing_works_where_the_directory_is_gone(tmp_path: Path) -> None:
    """A working directory that was deleted costs the relative file names and nothing else."""
    home = tmp_path / "home"
    program = "import os, tempfile\nos.chdir(d := tempfile.mkdtemp())\nos.rmdir(d)\nimport trimtab\n"
    program += f"trimtab.instrument(home={str(home)!r})\nwith trimtab.run('r'): pass\n"
    subprocess.run([sys.executable, "-c", program], check=True)
    records = [line.record for path in list_segments(home / "spool") for line in read_segment(path)]
    assert ["r"] == [record.name for record in records if isinstance(record, RunStart)]


def test_process_is_the_run_where_none_is_declared(tmp_path: Path) -> None:
    """A process without a declared run is one, named after its script."""
    start, end, code = outcome_of(tmp_path, "print('done')\n")
    assert ("agent", "process", "ok", "process exit", 0) == (start.name, start.origin, end.status, end.rule, code)


def test_uncaught_exception_fails_the_process_run(tmp_path: Path) -> None:
    """An exception that ends the process ends its run, and the traceback is printed as always."""
    _, end, code = outcome_of(tmp_path, "def work():\n    raise LookupError('no such order')\nwork()\n")
    assert ("error", "LookupError", "no such order", 1) == (end.status, end.error_type, end.error_message, code)

"""``trimtab import PATH...``: runs recorded elsewhere, into the store.

In: files, folders and globs. Out: a table (or JSON) of what was read and what of it was new. A running sidecar gets
the records through its API; without one the command opens the store itself. A file is taken whole or not at
all: one that can't be read is named on stderr and makes the exit code 2, the others are imported all the same.
Importing the same content again, under whatever name, changes nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import ImportFormatError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trimtab_analyzer.importers import ImportedRun
    from trimtab_tracer.records import Record
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

    from ..client import Client

FORMAT_NAMES = ("mini-swe-agent", "messages")
"""Names in :data:`trimtab_analyzer.importers.FORMATS`, repeated here so that ``--help`` imports nothing heavy."""

BATCH = 5_000
"""Records that are written together: a transaction costs about as much as a thousand records in it."""

PAGE = 1_000
"""Runs asked of a sidecar at once."""

PIPE_COLUMNS = 120
"""Width of the table where stdout is no terminal."""

MAX_ROWS = 40
"""Files listed one by one; beyond that the table sums up the rest."""


class Sink(Protocol):
    """Where records go: the sidecar, or the store itself."""

    def runs(self, since_ns: int | None = None, until_ns: int | None = None) -> Iterable[dict[str, Any]]:
        """The runs in the store that started in [since, until), with columns as in ``GET /v1/runs``."""
        ...

    def write(self, runs: Sequence[ImportedRun]) -> None:
        """Keep the records of these runs; doing so again changes nothing."""
        ...


@dataclass(slots=True)
class FileResult:
    """What became of one file, or of an argument that names none."""

    path: str
    error: str | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Per run: ``run_id, name, service, state (new | updated | known), started_ns, calls, tokens, cost_musd, …``."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, folder or glob; .json, .jsonl, gzipped or not")
    parser.add_argument(
        "--format", choices=FORMAT_NAMES, help="refuse files of any other format (seen by itself otherwise)"
    )
    parser.add_argument("--service", help="name of the agent; by default what the file says")
    parser.add_argument("--home", help="import into this home instead of the one in force here")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: Namespace) -> int:
    """Import everything that can be read; 2 where something could not, else 0."""
    from trimtab_tracer.settings import Settings

    settings = Settings.resolve(home=args.home)
    files, results = _find(args.paths)
    with _sink(settings) as sink, _progress(len(files), quiet=args.json) as advance:
        known = {row["run_id"]: row for row in sink.runs()}
        batch: list[ImportedRun] = []
        for path in files:
            result, fresh = _read(path, args, settings, known)
            results.append(result)
            batch += fresh
            if sum(len(run.records) for run in batch) >= BATCH:
                sink.write(batch)
                batch = []
            advance(path.name)
        if batch:
            sink.write(batch)
        _fill_in(results, sink)
    _print(results, args.json)
    return ImportFormatError.exit_code if any(result.error for result in results) else 0


def _find(patterns: list[str]) -> tuple[list[Path], list[FileResult]]:
    """The files meant, each once; and the arguments that mean none."""
    from trimtab_analyzer.importers import find_files

    files: dict[Path, None] = {}
    failed = []
    for pattern in patterns:
        try:
            files.update(dict.fromkeys(find_files([pattern])))
        except ImportFormatError as error:
            failed.append(FileResult(pattern, error=str(error)))
    return list(files), failed


def _read(
    path: Path, args: Namespace, settings: Settings, known: dict[str, dict[str, Any]]
) -> tuple[FileResult, list[ImportedRun]]:
    """Read a file; what to tell of it, and those of its runs that the store does not hold already."""
    from trimtab_analyzer.importers import IMPORT_DIGEST, read_file

    result = FileResult(str(path))
    try:
        runs = read_file(path, content=settings.content, service=args.service, only=args.format)
    except ImportFormatError as error:
        result.error = str(error)
        return result, []
    fresh = []
    for one in runs:
        before = known.get(one.run_id)
        is_known = before is not None and before["attributes"].get(IMPORT_DIGEST) == one.digest
        state = "known" if is_known else "new" if before is None else "updated"
        if not is_known:
            fresh.append(one)
            known[one.run_id] = {"started_ns": one.started_ns, "attributes": {IMPORT_DIGEST: one.digest}}
        result.runs.append(
            {
                "run_id": one.run_id,
                "name": one.name,
                "service": one.service,
                "state": state,
                "started_ns": known[one.run_id]["started_ns"],
                "calls": one.calls,
                "rejected": one.rejected,
                "logged_calls": one.logged_calls,
                "logged_cost_usd": one.logged_cost_usd,
            }
        )
    return result, fresh


def _fill_in(results: list[FileResult], sink: Sink) -> None:
    """Add what the store now says of each run: its tokens, and its cost as reported or computed."""
    runs = [run for result in results for run in result.runs]
    if not runs:
        return
    times = [run["started_ns"] for run in runs]
    stored = {row["run_id"]: row for row in sink.runs(min(times), max(times) + 1)}
    for run in runs:
        row = stored[run["run_id"]]
        run["tokens"] = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
        run["cost_musd"] = row["cost_musd"]
        run["calls_unpriced"] = row["attempts_unpriced"]


class SidecarSink:
    """A running sidecar."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def runs(self, since_ns: int | None = None, until_ns: int | None = None) -> Iterable[dict[str, Any]]:
        """Its runs, page by page."""
        return self._client.pages("/v1/runs", since_ns=since_ns, until_ns=until_ns, limit=PAGE)

    def write(self, runs: Sequence[ImportedRun]) -> None:
        """Post the records."""
        from trimtab_tracer.digests import digest

        self._client.post_records(digest(" ".join(run.digest for run in runs)), _records(runs))


class StoreSink:
    """The store, opened by this process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        from trimtab_tracer.prices import PriceList

        self._store = store
        self._prices = PriceList(settings.prices)

    def runs(self, since_ns: int | None = None, until_ns: int | None = None) -> Iterable[dict[str, Any]]:
        """The store's runs."""
        from .. import reads

        con = self._store.cursor()
        try:
            return reads.runs(con, since_ns=since_ns, until_ns=until_ns, limit=2**62)
        finally:
            con.close()

    def write(self, runs: Sequence[ImportedRun]) -> None:
        """Ingest the records in one transaction, then note the imports."""
        from trimtab_tracer.ingest import ingest

        from .. import reads

        ingest(self._store, _records(runs), prices=self._prices)
        now_ns = time.time_ns()
        noted = [[f"import:{run.digest}", 0, len(run.records), now_ns] for run in runs]
        with self._store.transaction() as con:
            con.executemany(reads.statement("record_import"), noted)


def _records(runs: Sequence[ImportedRun]) -> list[Record]:
    return [record for run in runs for record in run.records]


@contextmanager
def _sink(settings: Settings) -> Iterator[Sink]:
    """The running sidecar of this home, else its store."""
    from .. import client, home

    sidecar = client.connect(settings)
    if sidecar is not None:
        yield SidecarSink(sidecar)
        return
    from trimtab_tracer.store import Store

    home.prepare(settings.home)
    with Store.open(settings.store_path) as store:
        yield StoreSink(store, settings)


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Any]:
    """A progress bar on stderr; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("importing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=total, name="")
        yield lambda name: bar.update(task, advance=1, name=name)


def _print(results: list[FileResult], as_json: bool) -> None:
    for result in results:
        if result.error:
            print(f"trimtab: {result.error}", file=sys.stderr)
    runs = [run for result in results for run in result.runs]
    states = {state: sum(run["state"] == state for run in runs) for state in ("new", "updated", "known")}
    if as_json:
        files = [{"path": r.path, "error": r.error, "runs": r.runs} for r in results]
        print(json.dumps({"files": files, "totals": _totals(runs) | states}, indent=2))
        return
    if not runs:
        print("Nothing was imported.")
        return
    _table(results, runs, states)
    for run in runs:
        if warning := _disagreement(run):
            print(warning)
    print("`trimtab report` shows where the money went and what failed.")


def _totals(runs: list[dict[str, Any]]) -> dict[str, int]:
    sums = {
        key: sum(run[key] for run in runs) for key in ("calls", "rejected", "tokens", "cost_musd", "calls_unpriced")
    }
    return {"runs": len(runs), **sums}


def _table(results: list[FileResult], runs: list[dict[str, Any]], states: dict[str, int]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", show_footer=True)
    total = _totals(runs)
    footer = ("total", *_cells(runs))
    columns = ("file", "runs", "calls", "rejected", "tokens", "USD", "new", "already known")
    for name, foot in zip(columns, footer, strict=True):
        table.add_column(
            name, foot, justify="left" if name == "file" else "right", footer_style="bold", overflow="fold"
        )
    shown = [result for result in results if result.runs]
    for result in shown[:MAX_ROWS]:
        table.add_row(Path(result.path).name, *_cells(result.runs))
    if len(shown) > MAX_ROWS:
        rest = shown[MAX_ROWS:]
        table.add_row(f"… {len(rest)} more files", *_cells([run for result in rest for run in result.runs]))
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)
    if states["updated"]:
        print(
            f"{states['updated']} of the known runs had changed since they were imported and were brought up to date."
        )
    if total["calls_unpriced"]:
        print(
            f"The cost of {total['calls_unpriced']:,} calls is not known: the files log none, no price is known for it."
        )


def _cells(runs: list[dict[str, Any]]) -> tuple[str, ...]:
    total = _totals(runs)
    new = sum(run["state"] == "new" for run in runs)
    unknown = total["calls_unpriced"] == total["calls"] and total["calls"] > 0
    usd = "unknown" if unknown else f"{total['cost_musd'] / 1e6:,.2f}" + ("+" if total["calls_unpriced"] else "")
    tokens = f"{total['tokens']:,}" if total["tokens"] or not unknown else "unknown"
    return (
        f"{len(runs):,}",
        f"{total['calls']:,}",
        f"{total['rejected']:,}",
        tokens,
        usd,
        f"{new:,}",
        f"{len(runs) - new:,}",
    )


def _disagreement(run: dict[str, Any]) -> str | None:
    """What to tell where a file's own totals are not what its calls add up to."""
    said, cost = run["logged_calls"], run["logged_cost_usd"]
    differs = (said is not None and said != run["calls"]) or (
        cost is not None and not run["calls_unpriced"] and abs(cost - run["cost_musd"] / 1e6) >= 0.01
    )
    if not differs:
        return None
    return (
        f"{run['name']}: the file's own totals are {said} calls and USD {cost or 0:.4f},"
        f" its messages hold {run['calls']} calls and USD {run['cost_musd'] / 1e6:.4f}; the latter were imported."
    )


command = Command(
    "import", "Import runs from mini-SWE-agent trajectories and OpenAI-style message files", add_arguments, run
)
"""Registered in the entry-point group ``trimtab.commands``."""

"""``trimtab import PATH...``: runs recorded elsewhere, into the store.

In: files, folders and globs. Out: a table (or JSON) of what was read and what of it was new. A running sidecar gets
the records through its API; without one the command opens the store itself. A file is taken whole or not at
all: one that can't be read is named on stderr and makes the exit code 2, the others are imported all the same.
Importing the same content again, under whatever name, changes nothing; a run whose content has changed is replaced
as a whole.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import ImportFormatError

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trimtab_analyzer.importers import ImportedRun
    from trimtab_tracer.records import Record
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

    from ..client import Client

FORMAT_NAMES = ("spans", "mini-swe-agent", "who-when", "tau-bench", "messages")
"""Names in :data:`trimtab_analyzer.importers.NAMES`, repeated here so that ``--help`` imports nothing heavy."""

BATCH = 5_000
"""Records that are written together: a transaction costs about as much as a thousand records in it."""

MAX_RUNS = 500
"""Runs that are looked up and written together: as many ids as one request to a sidecar may name."""

PIPE_COLUMNS = 120
"""Width of the table where stdout is no terminal."""

MAX_ROWS = 40
"""Files listed one by one; beyond that the table sums up the rest."""


class Sink(Protocol):
    """Where records go: the sidecar, or the store itself."""

    def runs(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Those of at most :data:`MAX_RUNS` runs that the store holds, with columns as in ``GET /v1/runs``."""
        ...

    def write(self, runs: Sequence[ImportedRun], replace: Sequence[str]) -> None:
        """Keep the records of at most :data:`MAX_RUNS` runs; of those in ``replace`` nothing else is kept."""
        ...


@dataclass(slots=True)
class FileResult:
    """What became of one file, or of an argument that names none."""

    path: str
    error: str | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Per run: ``run_id, name, service, state (new | updated | known), started_ns, calls, tokens, cost_musd, …``."""


Batch = list[tuple[FileResult, "ImportedRun"]]
"""Runs not yet looked up, each with the file it came from."""


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
    from trimtab_analyzer.importers import labels_alone, whole_runs
    from trimtab_tracer.settings import Settings

    settings = Settings.resolve(home=args.home)
    files, results = _find(args.paths)
    with _sink(settings) as sink, terminal.progress("importing", len(files), is_quiet=args.json) as advance:
        batch: Batch = []
        for result, one in whole_runs(_read_all(files, results, args, settings, advance)):
            if one.records:
                batch = _add(batch, (result, one), sink)
            else:
                result.error = str(labels_alone(result.path, one))
        if batch:
            _settle(batch, sink)
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


def _read_all(
    files: Sequence[Path],
    results: list[FileResult],
    args: Namespace,
    settings: Settings,
    advance: Callable[[str], None],
) -> Iterator[tuple[FileResult, ImportedRun]]:
    """The runs of each file as it is read; what is to be told of each file is added to ``results``."""
    for path in files:
        result, runs = _read(path, args, settings)
        results.append(result)
        yield from ((result, one) for one in runs)
        advance(path.name)


def _read(path: Path, args: Namespace, settings: Settings) -> tuple[FileResult, list[ImportedRun]]:
    """Read a file: what is to be told of it, with no runs yet, and its runs."""
    from trimtab_analyzer.importers import read_file

    result = FileResult(str(path))
    try:
        return result, read_file(path, content=settings.content, service=args.service, only=args.format)
    except ImportFormatError as error:
        result.error = str(error)
        return result, []


def _add(batch: Batch, run: tuple[FileResult, ImportedRun], sink: Sink) -> Batch:
    """The batch with one more run, or an empty one once it was full and is written."""
    batch.append(run)
    if len(batch) < MAX_RUNS and sum(len(one.records) for _, one in batch) < BATCH:
        return batch
    _settle(batch, sink)
    return []


def _settle(batch: Batch, sink: Sink) -> None:
    """Write those runs of a batch that the store does not hold as they are, and note what became of each.

    Of a run that comes twice in different states the later one is kept.
    """
    from trimtab_analyzer.importers import IMPORT_DIGEST

    ids = list(dict.fromkeys(one.run_id for _, one in batch))
    stored = {row["run_id"]: row["attributes"].get(IMPORT_DIGEST) for row in sink.runs(ids)}
    digests, fresh = dict(stored), {}
    told = []
    for result, one in batch:
        state = "new" if one.run_id not in digests else "known" if digests[one.run_id] == one.digest else "updated"
        if state != "known":
            fresh[one.run_id], digests[one.run_id] = one, one.digest
        told.append((result, one, state))
    if fresh:
        # A run that may be spread over files only grows: what is stored of it stays.
        replaced = [run_id for run_id, one in fresh.items() if run_id in stored and one.part is None]
        sink.write(list(fresh.values()), replaced)
    rows = {row["run_id"]: row for row in sink.runs(ids)}
    for result, one, state in told:
        result.runs.append(_told(one, state, rows[one.run_id]))


def _told(one: ImportedRun, state: str, row: dict[str, Any]) -> dict[str, Any]:
    """What is told of a run: what its file says, and what the store now makes of its tokens and cost."""
    return {
        "run_id": one.run_id,
        "name": one.name,
        "service": one.service,
        "state": state,
        "started_ns": row["started_ns"],
        "calls": one.calls,
        "rejected": one.rejected,
        "logged_calls": one.logged_calls,
        "logged_cost_usd": one.logged_cost_usd,
        "tokens": (row["input_tokens"] or 0) + (row["output_tokens"] or 0),
        "cost_musd": row["cost_musd"],
        "calls_unpriced": row["attempts_unpriced"],
    }


class SidecarSink:
    """A running sidecar."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def runs(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Its runs."""
        found: list[dict[str, Any]] = self._client.get("/v1/runs", run=ids, limit=MAX_RUNS)["items"]
        return found

    def write(self, runs: Sequence[ImportedRun], replace: Sequence[str]) -> None:
        """Post the records, those that carry a run's digest last: a run cut off on the way is not taken for known."""
        from trimtab_tracer.records import RunStart

        records = sorted(_records(runs), key=lambda record: isinstance(record, RunStart))
        self._client.post_records(records, replace)


class StoreSink:
    """The store, opened by this process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        from trimtab_tracer.prices import PriceList

        self._store = store
        self._prices = PriceList(settings.prices)

    def runs(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The store's runs."""
        from .. import reads

        with closing(self._store.cursor()) as con:
            return reads.runs(con, run_ids=ids, limit=len(ids))

    def write(self, runs: Sequence[ImportedRun], replace: Sequence[str]) -> None:
        """Ingest the records in one transaction."""
        from trimtab_tracer.ingest import ingest

        ingest(self._store, _records(runs), prices=self._prices, replace_runs=replace)


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
    if n := total["calls_unpriced"]:
        why = "the files log none, and their tokens or a price for their model are not known"
        print(f"The cost of {n:,} {'call' if n == 1 else 'calls'} is not known: {why}.")


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
    "import",
    "Import runs from trajectories, logs, benchmark results and spans",
    add_arguments,
    run,
    example="trimtab import runs/*.traj.json",
)
"""Registered in the entry-point group ``trimtab.commands``."""

"""``trimtab findings``: each failure mode with the runs, steps, settings and lines it is pinned to; failed runs' blame.

In: a home's store, through its sidecar where one runs; a store's file; or recordings, which are analysed in a temporary
store that leaves nothing behind. Out: a table, or one JSON object (docs/findings.md names its keys). What is said is
made by :mod:`trimtab_analyzer.pins`, in the sidecar or here, by the same code.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import ImportFormatError, TrimtabError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trimtab_analyzer.importers import ImportedRun
    from trimtab_tracer.prices import PriceList
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

PAGE = 1_000
"""Runs asked of a sidecar at once."""
BATCH = 5_000
"""Records of recordings that are written together: a transaction costs about as much as a thousand records in it."""
MAX_RUNS = 20
"""Failed runs in the table; JSON has all."""

Document = dict[str, Any]


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="a home, a store's file, or recordings (files, folders, globs) to analyse without keeping them;"
        " the home in force here by default",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--run", metavar="ID", help="only this run; beginning or end of its id will do")
    parser.add_argument("--status", choices=("open", "resolved", "all"), default="open", help="which findings (open)")
    parser.add_argument("--since", metavar="TIME", help="only findings seen since then: 2h, 7d, or a date and time")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="have the model named in [explain] put each finding into words; docs/findings.md says what is sent",
    )
    parser.add_argument("--home", help="look at this home instead of the one in force here")


def run(args: Namespace) -> int:
    """List them; 2 where a recording could not be read, else 0."""
    from trimtab_analyzer.explain import ready
    from trimtab_analyzer.pins import select
    from trimtab_tracer.settings import Settings

    from ..terminal import moment, print_json

    since_ns = moment("since", args.since, time.time_ns())
    settings = Settings.resolve(home=args.home)
    if args.explain:
        ready(settings.explain)
    document, unread = _document(args, settings)
    document = select(document, args.status, since_ns)
    if args.explain and document["findings"]:
        document = _explained(document, settings)
    if args.json:
        print_json(document)
    else:
        _show(document)
        _show_blame(document)
    for error in unread:
        print(f"trimtab: {error}", file=sys.stderr)
    return ImportFormatError.exit_code if unread else 0


def _document(args: Namespace, settings: Settings) -> tuple[Document, list[ImportFormatError]]:
    """What the analysis says, and which recordings could not be read."""
    from trimtab_tracer.prices import PriceList
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

    paths = [Path(path) for path in args.paths]
    if not paths:
        return _of_home(settings, args.run), []
    if len(paths) == 1 and _is_home(paths[0]):
        return _of_home(Settings.resolve(home=paths[0]), args.run), []
    if len(paths) == 1 and paths[0].suffix == ".duckdb":
        if not paths[0].is_file():
            raise TrimtabError(f"{paths[0]}: there is no such file; name a store, a home or recordings.")
        with Store.open(paths[0]) as store:
            return _of_store(store, args.run, PriceList(settings.prices)), []
    return _of_recordings(args.paths, args.run, settings)


def _explained(document: Document, settings: Settings) -> Document:
    """The document with a key ``explanation`` in each finding that was explained; nothing else of it changes."""
    from trimtab_analyzer.explain import explain, notice, ready

    asked = ready(settings.explain)
    print(f"trimtab: {notice(len(document['findings']), asked, settings.content)}", file=sys.stderr)
    texts, problem = explain(document["findings"], asked, settings.content)
    if problem is not None:
        print(f"trimtab: {problem}", file=sys.stderr)
    pairs = zip(document["findings"], texts, strict=True)
    findings = [one | {"explanation": text} if text is not None else one for one, text in pairs]
    return document | {"findings": findings}


def _is_home(path: Path) -> bool:
    return (path / "trimtab.duckdb").exists() or (path / "spool").is_dir()


def _of_home(settings: Settings, run_id: str | None) -> Document:
    """From the home's sidecar, else from its store."""
    from trimtab_tracer.prices import PriceList

    from .. import client
    from ..local import own_store
    from ..run_ids import whole_id

    sidecar = client.connect(settings)
    if sidecar is None:
        with own_store(settings) as store:
            return _of_store(store, run_id, PriceList(settings.prices))
    if run_id is not None and not sidecar.get("/v1/runs", run=run_id, limit=1)["items"]:
        run_id = whole_id(run_id, (run["run_id"] for run in sidecar.pages("/v1/runs", limit=PAGE)))
    document: Document = sidecar.get("/v1/pins", run=run_id)
    return document


def _of_store(store: Store, run_id: str | None, prices: PriceList) -> Document:
    """Analyse a store that this process has open, keep its findings, and say them with their places.

    ``prices`` are for the ledger: the user's before the bundled ones.
    """
    from trimtab_analyzer import load
    from trimtab_analyzer.case import Case
    from trimtab_analyzer.findings import analyze, persist
    from trimtab_analyzer.inferred import infer
    from trimtab_analyzer.pins import pins

    from ..run_ids import whole_id_in

    with store.transaction() as con:
        infer(con)
    with closing(store.cursor()) as con, load.snapshot(con):
        run_id = whole_id_in(con, run_id)
        case = Case.load(con, prices=prices)
        found = analyze(con, case=case)
        document = pins(con, run_id, case=case, found=found, prices=prices)
    with store.transaction() as con:
        persist(con, found)
    return document


def _of_recordings(
    patterns: Sequence[str], run_id: str | None, settings: Settings
) -> tuple[Document, list[ImportFormatError]]:
    """Analyse the runs of these files in a temporary store.

    Raises:
        ImportFormatError: nothing could be read.
    """
    from trimtab_tracer.ingest import ingest
    from trimtab_tracer.prices import PriceList
    from trimtab_tracer.store import Store

    prices = PriceList(settings.prices)
    unread: list[ImportFormatError] = []
    files: dict[str, str] = {}
    with TemporaryDirectory(prefix="trimtab-findings-") as folder, Store.open(Path(folder) / "trimtab.duckdb") as store:
        for batch in _batches(patterns, settings.content, unread):
            records = [record for _, run in batch.values() for record in run.records]
            ingest(store, records, prices=prices, replace_runs=[known for known in batch if known in files])
            files |= {known: str(path) for known, (path, _) in batch.items()}
        if not files:
            raise unread[0] if unread else ImportFormatError("No recording was found there.")
        return _of_store(store, run_id, prices) | {"files": files}, unread


def _batches(
    patterns: Sequence[str], content: str, unread: list[ImportFormatError]
) -> Iterator[dict[str, tuple[Path, ImportedRun]]]:
    """The runs of these files by id, each with its file; of one that comes twice the later one counts."""
    from trimtab_analyzer.importers import labels_alone, whole_runs

    batch: dict[str, tuple[Path, ImportedRun]] = {}
    records = 0
    for path, run in whole_runs(_read(patterns, content, unread)):
        if not run.records:
            unread.append(labels_alone(path, run))
            continue
        batch[run.run_id] = path, run
        records += len(run.records)
        if records >= BATCH:
            yield batch
            batch, records = {}, 0
    yield batch


def _read(patterns: Sequence[str], content: str, unread: list[ImportFormatError]) -> Iterator[tuple[Path, ImportedRun]]:
    """The runs of these files, each with its file; what could not be read is added to ``unread``."""
    from trimtab_analyzer.importers import find_files, read_file

    paths: dict[Path, None] = {}
    for pattern in patterns:
        try:
            paths |= dict.fromkeys(find_files([pattern]))
        except ImportFormatError as error:
            unread.append(error)
    for path in paths:
        try:
            yield from ((path, run) for run in read_file(path, content=content))
        except ImportFormatError as error:
            unread.append(error)


def _show(document: Document) -> None:
    from rich.text import Text

    from trimtab_analyzer.report.words import usd

    from .. import terminal

    console = terminal.console()
    totals = document["totals"]
    inferred = f", {n:,} of them by inference" if (n := totals["inferred_failed_runs"]) else ""
    failed = f"{totals['failed_runs']:,} of {totals['runs']:,} runs failed{inferred}"
    console.print(f"{failed}. Known cost: {usd(totals['cost_musd'])}.")
    if not document["findings"]:
        console.print("No finding.")
        return
    table = terminal.table("", "what", "where", "setting", "failed runs", "wasted", "")
    for one in document["findings"]:
        amounts = one["amounts"]
        cells = (
            str(one["rank"]),
            f"{one['mode']}: {one['title']}",
            _place(one["site"]),
            f"{one['knob']} = {terminal.value(one['value'], 30)}",
            f"{amounts['failed_runs']:,} of {amounts['runs']:,}",
            usd(amounts["wasted_musd"]),
            "" if one["status"] == "open" else "resolved",
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    for one in document["findings"]:
        if "explanation" in one:
            console.print(Text(f"\n{one['rank']}, in a model's words: {one['explanation']}"))


def _show_blame(document: Document) -> None:
    """Where each failed run was most likely lost: the first of its steps."""
    from rich.text import Text

    from .. import terminal

    console = terminal.console()
    runs = document["failed_runs"]
    if not runs:
        return
    console.print("\nWhere each failed run was most likely lost; the shares of a run sum to 1:")
    table = terminal.table("run", "step", "agent", "share", "why", "where")
    for one in runs[:MAX_RUNS]:
        first = one["blame"][0]
        step = "–" if first["step"] is None else str(first["step"])
        why = ", ".join(first["modes"]) or "–"
        cells = (one["run"], step, str(first["agent"]), f"{first['share']:.2f}", why, _place(first["site"]))
        table.add_row(*map(Text, cells))
    console.print(table)
    if len(runs) > MAX_RUNS:
        console.print(f"{len(runs) - MAX_RUNS:,} more; --json lists all.")


def _place(site: Document | None) -> str:
    if site is None:
        return "–"
    return f"{site['file']}:{site['line']}" if site["line"] else f"{site['file']}, {site['function']}"


command = Command(
    "findings",
    "List what went wrong: mode, run, step, agent, setting, line and amounts",
    add_arguments,
    run,
    example="trimtab findings --json",
)
"""Registered in the entry-point group ``trimtab.commands``."""

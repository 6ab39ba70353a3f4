"""``trimtab compare``: how much of success, cost and latency comes with the harness, and what would be cheaper.

In: a table of runs (CSV, Parquet, JSON lines), a store's file, or a home through its sidecar. Out: text on the terminal
or one JSON object. The comparison itself is made by :mod:`trimtab_analyzer.compare`. A file needs neither a store nor a
sidecar; of a home whose sidecar runs the tables are copied into memory, so that it may go on writing. Prices of the
user are those of the home, or of the folder that the store's file lies in.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import SettingsError, TrimtabError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    import duckdb
    from rich.console import Console

    from trimtab_analyzer.compare import Comparison, Score
    from trimtab_tracer.prices import PriceList

    from ..client import Client

PIPE_COLUMNS = 160
"""Width of the text where stdout is no terminal."""
TABLES = (
    *("runs", "calls", "call_places", "attempts", "tool_calls", "tool_requests", "tool_results"),
    *("decisions", "sites", "policy_versions", "outcomes", "inferred_outcomes"),
)
"""What a comparison reads of a store."""
PARTS = ("harness", "model", "task", "success", "cost", "total-cost", "latency", "n", "started")
"""What a column may be named for."""
STORE = ".duckdb"
"""How a store's file ends."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "table",
        metavar="FILE_OR_STORE",
        nargs="?",
        type=Path,
        help="runs as .csv, .tsv, .parquet or .jsonl, a store (.duckdb), or a home (default: the one in force here)",
    )
    parser.add_argument(
        "--by",
        metavar="FACTORS",
        help="factors, comma-separated: harness, model, task, or columns (default: those of the three that are there)",
    )
    for part, meaning in (
        (
            "harness",
            "column that tells harnesses apart; of a store also knob:NAME or site (default there: its version)",
        ),
        ("model", "column of the model"),
        ("task", "column of the task"),
        ("success", "column of success: yes and no, shares, or per cent"),
        ("cost", "column of USD per run"),
        ("total-cost", "column of USD of the whole row, which is divided by --n"),
        ("latency", "column of seconds per run"),
        ("n", "column of how many runs a row stands for"),
        ("started", "column that says whether the agent started at all (default: calls or tokens above 0)"),
    ):
        parser.add_argument(f"--{part}", metavar="COLUMN", help=meaning)
    parser.add_argument(
        "--quality-share", metavar="SHARE", type=float, default=0.8, help="quality asked for: %(default)s"
    )
    parser.add_argument("--cost-share", metavar="SHARE", type=float, default=0.3, help="cost allowed: %(default)s")
    parser.add_argument("--raw", action="store_true", help="split USD and seconds themselves, not their logarithms")
    parser.add_argument(
        "--outcomes",
        metavar="SOURCES",
        default="explicit,evaluator",
        help="of a store: sources of outcomes that count, of explicit, evaluator, inferred (default: %(default)s)",
    )
    parser.add_argument("--scorecard", action="store_true", help="of a store: print its scorecard alone")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstraps (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the comparison as one JSON object")


def run(args: Namespace) -> int:
    """Compare and show it."""
    from trimtab_analyzer.compare import print_scores, print_text

    for option in ("quality_share", "cost_share"):
        if not 0 < getattr(args, option) <= 1:
            name = option.replace("_", "-")
            raise SettingsError(
                f"--{name} {getattr(args, option):g}: expected a share above 0 and at most 1, such as 0.8."
            )
    if args.scorecard:
        scores = _scores(args)
        if args.json:
            print(json.dumps({"scorecard": [score.as_json() for score in scores]}, indent=2, ensure_ascii=False))
        else:
            print_scores(scores, _console())
        return 0
    found = _of_file(args) if _is_file(args.table) else _of_store(args)
    if args.json:
        print(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        print_text(found, _console())
    return 0


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def _scores(args: Namespace) -> list[Score]:
    from trimtab_analyzer.compare import scorecard

    if _is_file(args.table):
        raise SettingsError(
            f"--scorecard: {args.table} is a table; a scorecard is made of a store (.duckdb) or a home."
        )
    with _store(args.table) as (con, prices):
        return scorecard(con, _sources(args), prices)


def _sources(args: Namespace) -> list[str]:
    from trimtab_analyzer.effects import SOURCES

    sources = [name.strip() for name in args.outcomes.split(",")]
    if odd := [name for name in sources if name not in SOURCES]:
        known = ", ".join(SOURCES)
        raise SettingsError(f"--outcomes {args.outcomes}: sources of outcomes are {known}, got {', '.join(odd)}.")
    return sources


def _is_file(path: Path | None) -> bool:
    if path is None or path.is_dir() or path.suffix == STORE:
        return False
    if not path.exists():
        raise TrimtabError(f"{path}: there is no such file; name a table of runs, a store, or a home.")
    return True


def _named(args: Namespace) -> dict[str, str | None]:
    return {part.replace("-", "_"): getattr(args, part.replace("-", "_")) for part in PARTS}


def _by(args: Namespace) -> list[str] | None:
    return [name.strip() for name in args.by.split(",") if name.strip()] if args.by else None


def _of_file(args: Namespace) -> Comparison:
    from trimtab_analyzer.compare import as_table, compare, read_file

    table = as_table(read_file(args.table), _named(args), _by(args), args.table.name)
    return compare(table, quality_share=args.quality_share, cost_share=args.cost_share, raw=args.raw, seed=args.seed)


def _of_store(args: Namespace) -> Comparison:
    from trimtab_analyzer.compare import as_table, compare, read_store

    by, named = _by(args), _named(args)
    wanted = [*(by or ()), *(name for name in named.values() if name)]
    knobs = [name.removeprefix("knob:") for name in dict.fromkeys(wanted) if name.startswith("knob:")]
    sources = _sources(args)
    with _store(args.table) as (con, prices):
        table = as_table(read_store(con, knobs, sources), named, by, str(args.table or "this home"))
        return compare(
            table,
            con,
            sources=sources,
            prices=prices,
            quality_share=args.quality_share,
            cost_share=args.cost_share,
            raw=args.raw,
            seed=args.seed,
        )


class _Opened(NamedTuple):
    con: duckdb.DuckDBPyConnection
    prices: PriceList


@contextmanager
def _store(path: Path | None) -> Iterator[_Opened]:
    """A connection to the store's file, to a home's store, or to a copy of the tables that a sidecar serves."""
    from trimtab_tracer.prices import PriceList
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

    from .. import client
    from ..local import own_store

    if path is not None and path.suffix == STORE:
        if not path.exists():
            raise TrimtabError(f"{path}: there is no such store; `trimtab config` says where this home's is.")
        prices = PriceList(Settings.resolve(home=str(path.parent)).prices)
        with Store.open(path, read_only=True) as store, closing(store.cursor()) as con:
            yield _Opened(con, prices)
        return
    settings = Settings.resolve(home=str(path) if path is not None else None)
    prices = PriceList(settings.prices)
    if (sidecar := client.connect(settings)) is not None:
        with _copied(sidecar) as con:
            yield _Opened(con, prices)
        return
    with own_store(settings) as store, closing(store.cursor()) as con:
        yield _Opened(con, prices)


@contextmanager
def _copied(sidecar: Client) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    from trimtab_tracer.store import migrations

    with closing(duckdb.connect()) as con:
        for _, sql in migrations():
            con.execute(sql)
        with tempfile.TemporaryDirectory(prefix="trimtab-compare-") as folder:
            for table in TABLES:
                file = Path(folder) / f"{table}.parquet"
                file.write_bytes(sidecar.table(table))
                con.execute(f"INSERT INTO {table} BY NAME FROM read_parquet($file)", {"file": str(file)})
        yield con


command = Command(
    "compare",
    "Say how much comes with the harness, the model and the task",
    add_arguments,
    run,
    example="trimtab compare results.csv --by harness,model,task --quality-share 0.8",
)
"""Registered in the entry-point group ``trimtab.commands``."""

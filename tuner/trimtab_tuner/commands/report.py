"""``trimtab report``: what the agents cost, what failed, and which line is to blame.

In: the store, through a running sidecar, or opened here after the spool was collected. Out: text on the terminal, JSON,
or one HTML file. The report itself is made by :mod:`trimtab_analyzer.report`, in the sidecar or here, by the same code.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import TrimtabError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trimtab_analyzer.report import Report
    from trimtab_tracer.settings import Settings

PAGE = 1_000
"""Runs asked of a sidecar at once."""
PIPE_COLUMNS = 120
"""Width of the text where stdout is no terminal."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as one JSON object")
    form.add_argument("--html", metavar="FILE", type=Path, help="write one HTML file that needs nothing else")
    parser.add_argument("--run", metavar="ID", help="report on this run only; beginning or end of its id will do")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="have the model named in [explain] put each finding into words; docs/findings.md says what is sent",
    )
    parser.add_argument("--home", help="report on this home instead of the one in force here")


def run(args: Namespace) -> int:
    """Make the report and show it."""
    from trimtab_analyzer.explain import notice, ready
    from trimtab_analyzer.report import as_html, as_json, print_text
    from trimtab_analyzer.report.explained import explained
    from trimtab_tracer.settings import Settings

    settings = Settings.resolve(home=args.home)
    asked = ready(settings.explain) if args.explain else None
    report = _report(settings, args.run)
    if asked and report.findings:
        print(f"trimtab: {notice(len(report.findings), asked, settings.content)}", file=sys.stderr)
        report, problem = explained(report, asked, settings.content)
        if problem is not None:
            print(f"trimtab: {problem}", file=sys.stderr)
    if args.json:
        print(json.dumps(as_json(report), indent=2, ensure_ascii=False))
    elif args.html:
        _write(args.html, as_html(report))
        print(f"Wrote {args.html}: one file, made to be opened in any browser and sent to anyone.")
    else:
        from rich.console import Console

        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        print_text(report, Console(width=width))
    return 0


def _report(settings: Settings, run_id: str | None) -> Report:
    """The report of a running sidecar, else the one made here."""
    from trimtab_analyzer.report import from_json

    from .. import client
    from ..run_ids import whole_id

    sidecar = client.connect(settings)
    if sidecar is None:
        return _own(settings, run_id)
    if run_id is not None and not sidecar.get("/v1/runs", run=run_id, limit=1)["items"]:
        run_id = whole_id(run_id, (run["run_id"] for run in sidecar.pages("/v1/runs", limit=PAGE)))
    return from_json(sidecar.get("/v1/report", run=run_id))


def _own(settings: Settings, run_id: str | None) -> Report:
    """Collect what the agents have left in the spool, analyse it, and report."""
    from trimtab_analyzer import load
    from trimtab_analyzer.case import Case
    from trimtab_analyzer.findings import analyze, persist
    from trimtab_analyzer.report import build
    from trimtab_tracer.prices import PriceList

    from ..local import own_store
    from ..run_ids import whole_id_in

    with own_store(settings) as store:
        with closing(store.cursor()) as con, load.snapshot(con):
            run_id = whole_id_in(con, run_id)
            case = Case.load(con, prices=PriceList(settings.prices))
            found = analyze(con, case=case)
            report = build(con, run_id, case=case, found=found)
        with store.transaction() as con:
            persist(con, found)
        return report


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrimtabError(
            f"{path}: can't be written: {error.strerror or error}; name a file in a folder that exists and is yours."
        ) from None


command = Command(
    "report",
    "Say what the agents cost, what failed, and which line is to blame",
    add_arguments,
    run,
    example="trimtab report --html report.html",
)
"""Registered in the entry-point group ``trimtab.commands``."""

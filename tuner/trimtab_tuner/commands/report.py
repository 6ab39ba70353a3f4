"""``trimtab report``: what the agents cost, what failed, and which line is to blame.

In: the store, through a running sidecar, or opened here after the spool was collected. Out: text on the terminal, JSON,
or one HTML file. The report itself is made by :mod:`trimtab_analyzer.report`, in the sidecar or here, by the same code.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentTypeError
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import TrimtabError, UsageError

from ..time_spans import point

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
    form.add_argument("--md", action="store_true", help="print Markdown, short enough for a pull request")
    parser.add_argument("--run", metavar="ID", help="report on this run only; beginning or end of its id will do")
    parser.add_argument("--since", metavar="TIME", help="only runs that began since then: 7d, 36h, 2026-11-01")
    parser.add_argument(
        "--fail-on",
        metavar="CONDITION",
        action="append",
        default=[],
        help="exit with 1 where this holds; may be repeated: cost+10%%, cost>0.50, total>20, success-5, failed>10%%,"
        " waste>20%%, finding:RULE, any-finding, new-finding",
    )
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        type=Path,
        help="compare with this earlier `trimtab report --json`; without it --since compares with as long before",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="have the model named in [explain] put each finding into words; docs/findings.md says what is sent",
    )
    parser.add_argument("--home", help="report on this home instead of the one in force here")


def run(args: Namespace) -> int:
    """Make the report and show it."""
    from trimtab_analyzer.explain import notice, ready
    from trimtab_analyzer.report import as_html, as_json, as_markdown, gates, print_text
    from trimtab_analyzer.report.explained import explained
    from trimtab_tracer.settings import Settings

    settings = Settings.resolve(home=args.home)
    asked = ready(settings.explain) if args.explain else None
    gates.check(args.fail_on)
    span = _span(args)
    report = _report(settings, args.run, span)
    verdicts = gates.judge(args.fail_on, report, _before(args, settings, span))
    if asked and report.findings:
        print(f"trimtab: {notice(len(report.findings), asked, settings.content)}", file=sys.stderr)
        report, problem = explained(report, asked, settings.content)
        if problem is not None:
            print(f"trimtab: {problem}", file=sys.stderr)
    if args.json:
        shown = as_json(report) | ({"verdicts": [asdict(verdict) for verdict in verdicts]} if verdicts else {})
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    elif args.md:
        print(as_markdown(report, verdicts), end="")
    elif args.html:
        _write(args.html, as_html(report))
        print(f"Wrote {args.html}: one file, made to be opened in any browser and sent to anyone.")
    else:
        from rich.console import Console

        width = None if sys.stdout.isatty() else PIPE_COLUMNS
        print_text(report, Console(width=width))
    for verdict in verdicts:
        print(f"trimtab: {verdict.word}: {verdict.condition}: {verdict.told}", file=sys.stderr)
    return 1 if any(verdict.is_met for verdict in verdicts) else 0


class _Span(NamedTuple):
    """Runs that began in this time, nanoseconds since the epoch; None without a bound."""

    since_ns: int | None = None
    until_ns: int | None = None


def _span(args: Namespace) -> _Span:
    if args.since is None:
        return _Span()
    try:
        return _Span(point(args.since, time.time_ns()))
    except ArgumentTypeError as error:
        raise UsageError(f"--since: {error}.") from None


def _before(args: Namespace, settings: Settings, span: _Span) -> Report | None:
    """What a condition compares with; None where none does."""
    from trimtab_analyzer.report import from_json, gates

    if not gates.compares(args.fail_on):
        return None
    if args.baseline is not None:
        try:
            return from_json(json.loads(args.baseline.read_text(encoding="utf-8")))
        except OSError as error:
            raise UsageError(f"{args.baseline}: can't be read: {error.strerror or error}.") from None
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{args.baseline}: is no report; `trimtab report --json` writes one.") from None
    if span.since_ns is None:
        needs = "needs something from before to compare with: --baseline FILE, or --since TIME"
        raise UsageError(f"--fail-on {next(c for c in args.fail_on if gates.compares([c]))}: {needs}.")
    return _report(settings, args.run, _Span(max(0, 2 * span.since_ns - time.time_ns()), span.since_ns))


def _report(settings: Settings, run_id: str | None, span: _Span) -> Report:
    """The report of a running sidecar, else the one made here."""
    from trimtab_analyzer.report import from_json

    from .. import client
    from ..run_ids import whole_id

    sidecar = client.connect(settings)
    if sidecar is None:
        return _own(settings, run_id, span)
    if run_id is not None and not sidecar.get("/v1/runs", run=run_id, limit=1)["items"]:
        run_id = whole_id(run_id, (run["run_id"] for run in sidecar.pages("/v1/runs", limit=PAGE)))
    return from_json(sidecar.get("/v1/report", run=run_id, since_ns=span.since_ns, until_ns=span.until_ns))


def _own(settings: Settings, run_id: str | None, span: _Span) -> Report:
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
            report = build(con, run_id, case=case, found=found, since_ns=span.since_ns, until_ns=span.until_ns)
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

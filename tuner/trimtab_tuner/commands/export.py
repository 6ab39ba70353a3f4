"""``trimtab export``: hands what was recorded to other tools, over OTLP or as Parquet files.

In: the store, through a running sidecar, or opened here after the spool was collected; where to; which runs. Out: spans
at a backend or files in a folder, and a summary that says what was not exported. Texts only with ``--content``.
Headers, which are secrets, come from a variable and never from the command line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..client import Client
    from ..export.source import Range


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--otlp", metavar="URL", help="send spans to this OTLP/HTTP backend; /v1/traces may be left out")
    where.add_argument("--parquet", metavar="DIR", type=Path, help="write one Parquet file per table into this folder")
    parser.add_argument(
        "--since", metavar="TIME", help="only runs that began then or later: 2h, 7d, or a date and time"
    )
    parser.add_argument("--until", metavar="TIME", help="only runs that began before")
    parser.add_argument("--run", metavar="ID", help="this run only; beginning or end of its id will do")
    parser.add_argument("--content", action="store_true", help="with the kept texts of requests and responses")
    parser.add_argument("--headers-env", metavar="NAME", help="variable with headers for --otlp: NAME=VALUE,NAME=VALUE")
    parser.add_argument("--home", help="export this home instead of the one in force here")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(args: Namespace) -> int:
    """Export, and say what was."""
    from trimtab_tracer.settings import Settings

    from ..local import sidecar_or_store
    from ..terminal import moment

    now_ns = time.time_ns()
    since_ns, until_ns = (moment(option, getattr(args, option), now_ns) for option in ("since", "until"))
    with sidecar_or_store(Settings.resolve(home=args.home)) as client:
        from ..export.source import Range

        chosen = Range(since_ns, until_ns, _whole(client, args.run))
        told = _otlp(client, args, chosen) if args.otlp is not None else _parquet(client, args, chosen)
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        _say(told)
    return 1 if told.get("rejected") else 0


def _otlp(client: Client, args: Namespace, chosen: Range) -> dict[str, Any]:
    from ..export import otlp
    from ..export.source import Source
    from ..export.spans import spans_of

    address, headers = otlp.address_of(args.otlp), otlp.headers_from(args.headers_env)
    source = Source(client, chosen, content=args.content)
    exported = 0

    with terminal.progress("sending", None, is_quiet=args.json) as advance:

        def spans() -> Any:
            nonlocal exported
            for portion in source.portions():
                yield from spans_of(portion, source)
                exported += len(portion.runs)
                advance(f"{exported:,} runs")

        sent = otlp.send(spans(), address, headers)
    return {
        "to": address,
        "runs": exported,
        "spans": sent.spans,
        "rejected": sent.rejected,
        "reason": sent.reason or None,
        "still_running": source.running,
    }


def _parquet(client: Client, args: Namespace, chosen: Range) -> dict[str, Any]:
    from ..export import parquet

    tables = len(parquet.TABLES) + bool(args.content)
    with terminal.progress("writing", tables, is_quiet=args.json) as advance:
        sizes = parquet.write(client, args.parquet, chosen, args.content, advance)
    return {"to": str(args.parquet), "bytes": sizes}


def _say(told: dict[str, Any]) -> None:
    if "bytes" in told:
        total = sum(told["bytes"].values())
        print(f"Wrote {len(told['bytes'])} tables, {total} bytes, to {told['to']}.")
        return
    print(f"Exported {told['runs']} runs as {told['spans']} spans to {told['to']}.")
    if told["still_running"]:
        print(f"{told['still_running']} runs have not ended; they are left for a later export.")
    if told["rejected"]:
        print(
            f"The backend turned down {told['rejected']} spans: {told['reason'] or 'no reason given'}.", file=sys.stderr
        )


def _whole(client: Client, typed: str | None) -> str | None:
    """The id of the run that was typed."""
    if typed is None:
        return None
    import io

    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from ..run_ids import whole_id

    found = pq.read_table(io.BytesIO(client.table("runs")), columns=["run_id", "started_ns"])
    return whole_id(typed, found.sort_by([("started_ns", "descending")]).column("run_id").to_pylist())


command = Command(
    "export",
    "Hand what was recorded to other tools: OTLP to any backend, or Parquet",
    add_arguments,
    run,
    example="trimtab export --parquet out",
)
"""Registered in the entry-point group ``trimtab.commands``."""

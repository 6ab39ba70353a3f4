"""What a notice says, as JSON and as Slack takes it.

In: a row of ``queries/due.sql``. Out: a body. It holds names, lines, numbers and sentences of ours, and nothing that an
agent, a model or a tool wrote: titles of findings may quote errors, so they are left out. A setting's value is given
where it is a number or yes or no. Pure.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from trimtab_tracer import __version__

from ..reads import Row

FORMAT: Final = 1
"""Version of the JSON; fields are only ever added to it."""
HEADS: Final = {
    "new_finding": "New finding",
    "rollback": "Rolled back",
    "budget_stop": "Budget spent",
    "test": "Test",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def as_json(row: Row, home: str) -> dict[str, Any]:
    """The body for ``notify_format = "json"``; docs/notices.md lists its fields."""
    found: dict[str, Any] = {"format": FORMAT, "trimtab": __version__, "kind": row["kind"], "home": home}
    found |= {"at": f"{datetime.fromtimestamp(row['noted_ns'] / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}", "text": text(row)}
    if row["kind"] == "new_finding" and row["rule"] is not None:
        found["finding"] = {
            "id": row["subject"],
            "rule": row["rule"],
            "knob": row["knob"],
            "place": _place(row),
            "runs": row["runs"],
            "failed_runs": row["failed_runs"],
            "wasted_usd": row["wasted_musd"] / 1e6,
        }
    elif row.get("action") is not None:
        found["decision"] = {"action": row["action"], "of": f"{row['subject_kind']} {row['subject_id']}"}
    return found


def as_slack(row: Row, home: str) -> dict[str, Any]:
    """The body for Slack's incoming webhooks: one text, in which the three signs of its markup are escaped."""
    head, rest = HEADS[row["kind"]], text(row)
    escaped = [part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for part in (rest, home)]
    return {"text": f"*trimtab: {head}* – {escaped[0]}\n`{escaped[1].replace('`', '')}`"}


def text(row: Row) -> str:
    """One sentence."""
    if row["kind"] == "test":
        return "This is a test: notices arrive here."
    if row["kind"] == "new_finding":
        if row["rule"] is None:
            return "A finding that is gone by now."
        value = row["value"]
        shown = f" = {json.dumps(value)}" if isinstance(value, int | float) else ""
        runs = f"{row['runs']:,} run{'' if row['runs'] == 1 else 's'}, {row['failed_runs']:,} of them failed"
        return f"{row['rule']}: {row['knob']}{shown} at {_place(row)}; {runs}, ${row['wasted_musd'] / 1e6:,.4g} wasted."
    told = _CONTROL.sub(" ", row["told"] or "")[:300]
    return f"{row['subject_kind']} {row['subject_id']}: {told}"


def _place(row: Row) -> str:
    if row["file"] is None:
        return "a line that is not known"
    return _CONTROL.sub(" ", f"{row['file']}:{row['line']}" if row["line"] else str(row["file"]))

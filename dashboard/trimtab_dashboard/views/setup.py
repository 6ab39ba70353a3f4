"""What is set up, and what is left to do: agents, checks, packages, settings, sizes, losses, versions.

In: ``/v1/setup``, ``/v1/losses`` and the sidecar's health as the API gives them. Out: rows and sentences.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from . import words

CONNECT: Final = {
    "Any Python agent (openai, anthropic, google-genai, ollama, a loop of your own)": (
        "python",
        "import trimtab\n\ntrimtab.instrument()  # before or after your clients are made",
    ),
    "Without touching the code": ("bash", "trimtab run -- python agent.py"),
    "LangChain, LangGraph, pydantic-ai, CrewAI, LlamaIndex, smolagents, DSPy, AutoGen, AG2": (
        "python",
        "import trimtab\n\ntrimtab.instrument()  # their tools and limits are seen by the same line",
    ),
    "OpenAI Agents SDK": ("python", "import trimtab\n\ntrimtab.instrument()  # its own tracing goes on as before"),
    "Tests of an agent": ("bash", "pytest --trimtab"),
    "What emits OpenTelemetry spans already": (
        "python",
        "import trimtab\n\ntrimtab.attach()  # reads the spans of SDKs, frameworks and instrumentors",
    ),
    "Recorded runs of another tool": ("bash", "trimtab import FILE"),
    "One run per task": (
        "python",
        'with trimtab.run("triage", task="t-1"):\n    answer = agent(task)\n    trimtab.outcome(is_right(answer))',
    ),
}
"""What to add to connect an agent, by what it is made with: language and text to copy."""
SIGNS: Final = {"ok": "✓", "note": "ⓘ", "problem": "✕"}
MODES: Final = {
    "off": "no text of requests and answers is kept",
    "redacted": "texts are kept, without what looks like a secret",
    "full": "texts are kept as they are, but for headers and known secrets",
}
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")


def size(count: int) -> str:
    """``0 bytes``, ``12 KB``, ``1.2 GB``; powers of a thousand."""
    shown, unit = float(count), 0
    while shown >= 1000 and unit < len(_UNITS) - 1:
        shown, unit = shown / 1000, unit + 1
    return f"{shown:.3g} {_UNITS[unit]}"


def home_shown(home: str) -> str:
    """The home, in the words of an agent's environment."""
    return f"TRIMTAB_HOME={home}"


def agents(rows: Iterable[Any], now_ns: int) -> list[dict[str, Any]]:
    """Agents that wrote here, those heard of last first."""
    return [
        {
            "Agent": row["service"],
            "Last heard of": words.ago(row["last_ns"], now_ns),
            "Runs": row["runs"],
            "Processes": row["processes"],
            "Program": row["script"],
            "Texts": row["content_mode"],
            "Python": row["python"],
            "trimtab": row["trimtab"],
        }
        for row in rows
    ]


def checks(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Problems first; each with its sign and its sentence."""
    order = list(SIGNS)[::-1]
    ordered = sorted(rows, key=lambda row: order.index(row["state"]))
    return [{"": f"{SIGNS[row['state']]} {row['name']}", "What was found": row["text"]} for row in ordered]


def packages(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Packages that call models, those that are not seen first."""
    ordered = sorted(rows, key=lambda row: row["verdict"] == "seen")
    return [
        {
            "Package": f"{row['package']} {row['version']}",
            "Calls are": f"{'✓' if row['verdict'] == 'seen' else '✕'} {row['verdict']}",
            "Through": row["transport"],
            "To know": row["advice"],
        }
        for row in ordered
    ]


def privacy(settings: Iterable[Any]) -> str:
    """What of texts is kept, and who said so."""
    row = next(row for row in settings if row["name"] == "content")
    return (
        f"content = {row['value']}: {MODES[row['value']]} ({row['source']}). Agents obey their own settings; see below."
    )


def settings(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Settings of the sidecar that say what is kept and what may be done."""
    return [
        {"Setting": row["name"], "Value": words.value(row["value"]), "From": row["source"], "Meaning": row["meaning"]}
        for row in rows
    ]


def sizes(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """What the home takes on disk."""
    return [{"Part": row["name"], "Size": size(row["size_bytes"]), "Files": f"{row['files']:,}"} for row in rows]


def losses(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Records that could not be kept, by agent, kind and reason."""
    return [
        {
            "Agent": row["service"] or "not known",
            "Lost": f"{row['count']:,} of kind {row['lost_kind']}",
            "Size": size(row["size_bytes"]),
            "Why": row["reason"],
            "Last (UTC)": words.when(row["last_ns"]),
        }
        for row in rows
    ]


def versions(found: Any) -> list[dict[str, Any]]:
    """What runs here."""
    shown = {**found["versions"], "store": f"{found['migrations']} migrations"}
    return [{"Part": name, "Version": version} for name, version in shown.items()]

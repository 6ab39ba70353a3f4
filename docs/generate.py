"""Rewrites the generated parts of the documentation from the code; a test fails where one is out of date.

In: pages with ``<!-- generated: NAME -->`` ... ``<!-- end -->``. Out: the same pages with what :data:`PARTS` gives for
each name. Run it as ``python docs/generate.py`` after a change of a setting, a route or a command.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)


def settings() -> str:
    """The table of settings."""
    from trimtab_tracer.settings import TABLE

    shown = {"home": "`.trimtab` here", "service": "the script's name", "prices": "none", "user_packages": "none"}
    lines = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for row in TABLE:
        plain = {None: "none", True: "`1`", False: "`0`"}
        default = shown.get(row.name) or plain.get(row.default) or f"`{row.default}`"  # type: ignore[call-overload]
        variable = f"`{row.env}`" if row.env else "(file only)"
        lines.append(f"| `{row.name}` | {variable} | {default} | {row.sentence} |")
    return "\n".join(lines)


def routes() -> str:
    """Every route with its parameters, from the OpenAPI document."""
    return "\n\n".join(_route(path, method, operation) for path, method, operation in _operations())


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    from trimtab_tuner.api import create_app

    document = create_app(None).openapi()  # type: ignore[arg-type]  # the document needs no backend
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    shape = answer.get("$ref", "").rpartition("/")[2] or "object"
    shape = re.sub(r"^Page_(\w+)_$", r"page of \1", shape)
    lines = [f"### {method} {path}", "", f"{operation['description']} Answer: {shape}.", ""]
    for p in operation.get("parameters", []):
        schema: dict[str, Any] = next(
            (s for s in p["schema"].get("anyOf", [p["schema"]]) if s.get("type") != "null"), {}
        )
        kind = " | ".join(schema["enum"]) if "enum" in schema else schema.get("type", "text")
        note = p.get("description", "")
        if "default" in schema or "default" in p["schema"]:
            note += f" (default {p['schema'].get('default')}, at most {schema.get('maximum')})"
        where = "in the path" if p["in"] == "path" else "required" if p.get("required") else "optional"
        lines.append(f"- `{p['name']}`: {kind}, {where}" + (f". {note}" if note else ""))
    return "\n".join(lines).rstrip()


def commands() -> str:
    """Every command with its options."""
    from trimtab.__main__ import LIGHT
    from trimtab_tracer.commands import GROUP

    found = dict(LIGHT) | {point.name: point.load() for point in metadata.entry_points(group=GROUP)}
    parts = []
    for name, command in sorted(found.items()):
        parser = argparse.ArgumentParser(prog=f"trimtab {name}", add_help=False)
        command.add_arguments(parser)
        lines = [f"### trimtab {name}", "", f"{command.help[0].upper()}{command.help[1:]}.", ""]
        lines += [f"- `{_usage(action)}`: {_help(action)}" for action in parser._actions]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts)


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def _usage(action: argparse.Action) -> str:
    """An option or argument as one types it."""
    value = ""
    if action.nargs != 0:
        value = str(action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper()))
    return " ".join(filter(None, [", ".join(action.option_strings), value]))


PARTS: dict[str, Callable[[], str]] = {"settings": settings, "routes": routes, "commands": commands}


def rewritten(page: str) -> str:
    """The text of a page with its generated parts made anew."""
    return BLOCK.sub(lambda m: f"{m[1]}{PARTS[m[2]]()}\n{m[3]}", page)


def pages() -> Iterator[Path]:
    """Pages that have generated parts."""
    return (path for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    for path in pages():
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {path.name}")

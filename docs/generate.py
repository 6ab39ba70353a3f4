"""Rewrites the generated parts of the documentation from the code; a test fails where one is out of date.

In: pages with ``<!-- generated: NAME -->`` ... ``<!-- end -->``. Out: the same pages with what :data:`PARTS` gives for
each name. Run it as ``python docs/generate.py`` after a change of a setting, a route, a command or an example.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)


def settings() -> str:
    """The table of settings."""
    from trimtab_tracer.settings import TABLE

    shown = {"home": "`.trimtab` here", "service": "the script's name"}
    shown |= dict.fromkeys(("prices", "user_packages", "fallback_models", "endpoints"), "none")
    lines = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for row in TABLE:
        plain = {None: "none", True: "`1`", False: "`0`"}
        default = shown.get(row.name) or plain.get(row.default) or f"`{row.default}`"  # type: ignore[call-overload]
        variable = f"`{row.env}`" if row.env else "(file only)"
        lines.append(f"| `{row.name}` | {variable} | {default} | {row.sentence} |")
    return "\n".join(lines)


def routes() -> str:
    """Every route with its parameters, from the OpenAPI document."""
    document = _document()
    schemas = document["components"]["schemas"]
    return "\n\n".join(_route(*operation, schemas) for operation in _operations(document))


def _document() -> dict[str, Any]:
    """What a sidecar over an empty home publishes about its API."""
    from trimtab_tracer.settings import Settings
    from trimtab_tuner.client import connect
    from trimtab_tuner.sidecar import Sidecar

    with TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home", port=0)
        with Sidecar(settings):
            client = connect(settings)
            assert client is not None
            document: dict[str, Any] = client.get("/openapi.json")
            return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _route(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    content = operation["responses"]["200"]["content"]
    answer = content.get("application/json", {}).get("schema", {})
    shape = answer.get("$ref", "").rpartition("/")[2] or ("object" if "application/json" in content else "a file")
    shape = re.sub(r"^Page_(\w+)_$", r"page of \1", shape)
    lines = [f"### {method} {path}", "", f"{operation['description']} Answer: {shape}.", ""]
    lines += _body(operation.get("requestBody"), schemas)
    for p in operation.get("parameters", []):
        if p["name"].startswith("x-trimtab-"):  # the same for all that decide; the page tells of them once
            continue
        schema: dict[str, Any] = next(
            (s for s in p["schema"].get("anyOf", [p["schema"]]) if s.get("type") != "null"), {}
        )
        kind = " | ".join(schema["enum"]) if "enum" in schema else schema.get("type", "text")
        note = p.get("description", "")
        if "default" in schema or "default" in p["schema"]:
            most = f", at most {schema['maximum']}" if "maximum" in schema else ""
            note += f" (default {p['schema'].get('default')}{most})"
        where = "required" if p.get("required") else "optional"
        where = {"path": "in the path", "header": "optional, a header"}.get(p["in"], where)
        lines.append(f"- `{p['name']}`: {kind}, {where}" + (f". {note}" if note else ""))
    return "\n".join(lines).rstrip()


def _body(body: dict[str, Any] | None, schemas: dict[str, Any]) -> list[str]:
    """The fields of a JSON body, with those of the objects in it."""
    named = (body or {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
    return _fields(schemas[named.rpartition("/")[2]], schemas, "") if named else []


def _fields(shape: dict[str, Any], schemas: dict[str, Any], before: str) -> list[str]:
    lines = []
    for name, field in shape["properties"].items():
        options = [s for s in field.get("anyOf", [field]) if s.get("type") != "null"]
        inner = next((s for s in (*options, *(s.get("items", {}) for s in options)) if "$ref" in s), None)
        kind = _kind(options[0])
        needed = "required" if name in shape.get("required", ()) else "optional"
        note = f". {field['description']}" if "description" in field else ""
        lines.append(f"- `{before}{name}`: {kind}, {needed}, in the body{note}")
        if inner is not None:
            place = f"{before}{name}[]." if kind == "array" else f"{before}{name}."
            lines += _fields(schemas[inner["$ref"].rpartition("/")[2]], schemas, place)
    return lines


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(value).strip('"') for value in schema.get("enum", [schema.get("const")]))
    return "object" if "$ref" in schema else str(schema.get("type", "any JSON value"))


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
        lines += _options(parser, "", frozenset())
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts)


def _options(parser: argparse.ArgumentParser, indent: str, known: frozenset[str]) -> list[str]:
    """Options and arguments, and below each action its own; those in ``known`` were listed above."""
    lines = []
    own = frozenset(name for action in parser._actions for name in action.option_strings)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                lines.append(f"{indent}- `{listed.dest}`: {listed.help}")
                lines += _options(action.choices[listed.dest], f"{indent}    ", known | own)
        elif not isinstance(action, argparse._HelpAction) and known.isdisjoint(action.option_strings):
            lines.append(f"{indent}- `{_usage(action)}`: {_help(action)}")
    return lines


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def _usage(action: argparse.Action) -> str:
    """An option or argument as one types it."""
    value = ""
    if action.nargs != 0:
        value = str(action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper()))
    return " ".join(filter(None, [", ".join(action.option_strings), value]))


def example(path: Path) -> str:
    """The program as it stands, so that a page of the site and a reader on a code host see the one that is tested."""
    return f"```python\n{path.read_text(encoding='utf-8').rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {"settings": settings, "routes": routes, "commands": commands}
PARTS |= {f"example_{path.stem}": partial(example, path) for path in sorted(EXAMPLES.glob("*.py"))}


def rewritten(page: str) -> str:
    """The text of a page with its generated parts made anew."""
    return BLOCK.sub(lambda m: f"{m[1]}{PARTS[m[2]]()}\n{m[3]}", page)


def pages() -> Iterator[Path]:
    """Pages that have generated parts."""
    return (path for path in sorted(DOCS.rglob("*.md")) if BLOCK.search(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    for path in pages():
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS)}")

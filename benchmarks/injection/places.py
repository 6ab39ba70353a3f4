"""Where an agent's file carries its markers: the comments ``# site: NAME`` that tell which line makes which decision.

In: a Python file. Out: for each name the lines of the statement that it stands in. A statement may go over several
lines, and an interpreter names any of them, so all of them count; of a function, a loop or a block only the head does.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

_MARKER = re.compile(r"# site: ([\w-]+)")


def marked_places(script: Path) -> dict[str, frozenset[int]]:
    """Lines by marker; a marker that stands twice has the lines of both."""
    text = script.read_text()
    spans = [_span(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]
    places: dict[str, frozenset[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for name in _MARKER.findall(line):
            around = [span for span in spans if number in span]
            lines = frozenset(min(around, key=len)) if around else frozenset({number})
            places[name] = places.get(name, frozenset()) | lines
    return places


def _span(node: ast.stmt) -> range:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    body = getattr(node, "body", None)
    last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
    return range(first, max(first, last) + 1)

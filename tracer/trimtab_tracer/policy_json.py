"""JSON from someone who may mean harm, read strictly.

In: bytes, or Python values that came out of some JSON reader. Out: plain JSON values, or
:class:`~.errors.PolicyError` in one sentence that names the place (``rules[3].value``). Apart from :mod:`.policy` for
it knows nothing of policies: refused here is what the ``json`` module lets pass (a key given twice, NaN, lone
surrogates, numbers of a thousand digits) or breaks on (a nest deeper than the stack).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from .errors import PolicyError
from .patterns import lazy_pattern
from .redact import redact

MAX_DEPTH = 12
"""Objects and lists inside each other; a policy needs six."""
MAX_DIGITS = 20
"""Of a whole number: 64 bits."""
SHOWN_CHARS = 80
"""What an error shows of a value."""

_NEST = lazy_pattern(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.S)
"""Texts and brackets. A text without its end swallows the rest, so the search stays linear."""


def read_object(raw: bytes, max_bytes: int) -> dict[str, Any]:
    """The one JSON object that ``raw`` is.

    Raises:
        PolicyError: too long, no UTF-8, no JSON, no object, or something in it that no honest writer writes.
    """
    if len(raw) > max_bytes:
        raise PolicyError.unusable("the document", f"{len(raw)} bytes long", f"at most {max_bytes} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError.unusable("the document", f"no UTF-8 at byte {error.start}", "JSON in UTF-8") from None
    check_depth(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        seen = f"no JSON at line {error.lineno}, column {error.colno}"
        raise PolicyError.unusable("the document", seen, "one JSON object, written whole") from None
    if not isinstance(value, dict):
        raise PolicyError.unusable("the document", shown(value), "a JSON object")
    check_plain(value, "the document")
    return value


def check_depth(text: str) -> None:
    """Refuse JSON text nested deeper than :data:`MAX_DEPTH` before anything recursive sees it."""
    depth = 0
    for found in _NEST.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise PolicyError.unusable("the document", f"nested deeper than {MAX_DEPTH}", "fewer levels")
        elif found[0] in "]}":
            depth -= 1


def check_plain(value: Any, where: str, depth: int = 0) -> None:
    """Refuse what JSON has no word for, wherever ``value`` comes from: NaN, odd keys, lone surrogates, depth.

    Raises:
        PolicyError: names the place inside ``value``.
    """
    if depth > MAX_DEPTH:
        raise PolicyError.unusable(where, f"nested deeper than {MAX_DEPTH}", "fewer levels")
    if isinstance(value, str):
        if not is_unicode(value):
            raise PolicyError.unusable(where, "a text with half a character (a lone surrogate)", "valid Unicode")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise PolicyError.unusable(where, "no finite number", "a number")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or not is_unicode(key):
                raise PolicyError.unusable(f"a key of {where}", shown(key), "a text of valid Unicode")
            check_plain(inner, inside(where, key), depth + 1)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            check_plain(inner, f"{where}[{i}]", depth + 1)
    elif isinstance(value, int):
        if value.bit_length() > 64:
            raise PolicyError.unusable(where, shown(value), "at most 64 bits")
    elif value is not None:
        raise PolicyError.unusable(where, f"a Python {type(value).__name__}", "a JSON value")


def check_keys(value: Any, where: str, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """``value`` as an object that has all ``required`` keys and none that is neither required nor ``optional``."""
    if not isinstance(value, dict):
        raise PolicyError.unusable(where, shown(value), "an object")
    for key in value:
        if key not in required and key not in optional:
            raise PolicyError.unknown_key(where, shown(key), (*required, *optional))
    for key in required:
        if key not in value:
            raise PolicyError.missing_key(where, key)
    return value


def check_integer(value: Any, where: str, low: int, high: int) -> int:
    """``value`` as a whole number from ``low`` to ``high``; ``true`` and ``3.0`` are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise PolicyError.unusable(where, shown(value), f"a whole number from {low} to {high}")
    return value


def check_number(value: Any, where: str, low: float, high: float) -> float:
    """``value`` as a number from ``low`` to ``high``; ``true`` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PolicyError.unusable(where, shown(value), f"a number from {low:g} to {high:g}")
    return value


def check_text(value: Any, where: str, pattern: re.Pattern[str], expected: str) -> str:
    """``value`` as a text that ``pattern`` matches from end to end."""
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise PolicyError.unusable(where, shown(value), expected)
    return value


def inside(where: str, key: str) -> str:
    """The place of ``key`` in the object at ``where``; the document's own keys stand alone."""
    name = key if key.isidentifier() and key.isascii() and len(key) <= SHOWN_CHARS else shown(key)
    return name if where == "the document" else f"{where}.{name}"


def is_unicode(text: str) -> bool:
    """Whether ``text`` has no lone surrogate: such a text can be neither stored nor sent."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def shown(value: object) -> str:
    """``value`` as an error may show it: one line of ASCII, without secrets, cut short."""
    if isinstance(value, Mapping | list | tuple):
        return f"{'an object' if isinstance(value, Mapping) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    if not isinstance(value, str | int | float | None):
        return f"a Python {type(value).__name__}"
    text = json.dumps(redact(value[:4096]) if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise PolicyError.unusable(f"the key {shown(key)}", "given twice in one object", "each key once")
        found[key] = value
    return found


def _constant(name: str) -> NoReturn:
    raise PolicyError.unusable("a number of the document", name, "a finite number")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise PolicyError.unusable("a number of the document", f"{len(digits)} digits long", "64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise PolicyError.unusable("a number of the document", shown(digits), "a finite number")
    return value

"""Values inside spans, as exporters write them: attributes, ids, points in time, durations, JSON inside a text.

In: any JSON value. Out: a value of one kind; what is of another kind reads as absent. Apart from :mod:`.spans`, which
knows the shapes of files, because every shape holds such values.
"""

from __future__ import annotations

import re
from typing import Any, Final

from trimtab_tracer.digests import canonical
from trimtab_tracer.wire.values import loads, obj, objs

from .trace import point_in_time_ns

_DURATION: Final = re.compile(r"P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")


def opened(value: Any) -> Any:
    """JSON inside a text, opened; everything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        inner = loads(value)
        return value if inner is None else inner
    return value


def hex_id(value: str) -> str:
    """An id as other records write it: hexadecimal ones in lower case without ``0x`` and dashes."""
    plain = value.lower().removeprefix("0x").replace("-", "")
    return plain if re.fullmatch(r"[0-9a-f]{16,32}", plain) else value


def written(value: Any) -> str | None:
    """Text as it is, other values as canonical JSON; None stays None."""
    return value if value is None or isinstance(value, str) else canonical(value)


def attributes_of(value: Any) -> dict[str, Any]:
    """Attributes as a flat mapping, from one, a nested one, or OTLP's list of keys and values."""
    if isinstance(value, list):
        return {str(pair.get("key")): _otlp_value(pair.get("value")) for pair in objs(value) if "key" in pair}
    inner = opened(value)
    return flat(inner) if isinstance(inner, dict) else {}


def _otlp_value(value: Any) -> Any:
    held = obj(value)
    for key, found in held.items():
        if key in ("intValue", "int_value"):
            return int(found) if _INTEGER.fullmatch(str(found)) else None
        if key in ("arrayValue", "array_value"):
            return [_otlp_value(item) for item in objs(obj(found).get("values"))]
        if key in ("kvlistValue", "kvlist_value"):
            return {str(pair.get("key")): _otlp_value(pair.get("value")) for pair in objs(obj(found).get("values"))}
        return found
    return None


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted names; lists of objects get their indices in the name, other lists stay."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, dict) and inner:
            found |= flat(inner, f"{name}.")
        elif isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            for n, item in enumerate(inner):
                found |= flat(item, f"{name}.{n}.")
        else:
            found[name] = inner
    return found


def moment_ns(value: Any) -> int | None:
    """A point in time: also as OpenTelemetry's pair of seconds and nanoseconds, and as a number in a text."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return point_in_time_ns(value[0] * 1_000_000_000 + value[1])
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return point_in_time_ns(int(value))
    return point_in_time_ns(value)


def duration_ns(value: Any) -> int | None:
    """Nanoseconds of an ISO 8601 duration, or of a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1e9) if 0 <= value < 10**6 else None
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return int((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1e9)

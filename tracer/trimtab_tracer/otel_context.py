"""The OpenTelemetry span that is current now, where the agent uses OpenTelemetry at all.

Apart from the hooks so that it is one look at ``sys.modules`` for all agents that do not: nothing is imported here.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from .guard import guarded


class SpanIds(NamedTuple):
    """A span, as attempts name it; None outside of any."""

    trace_id: str | None = None
    span_id: str | None = None


NO_SPAN = SpanIds()


@guarded(default=NO_SPAN)
def current_span_ids() -> SpanIds:
    """Which span the running code belongs to; about a microsecond where OpenTelemetry is loaded."""
    trace = sys.modules.get("opentelemetry.trace")
    current = getattr(trace, "get_current_span", None)  # not there yet while the module is being imported
    if current is None:
        return NO_SPAN
    context = current().get_span_context()
    if not context.is_valid:
        return NO_SPAN
    return SpanIds(f"{context.trace_id:032x}", f"{context.span_id:016x}")

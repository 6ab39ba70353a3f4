"""A scripted LLM provider: real wire formats, answers and faults from a file, no model behind it.

See docs/provider.md for scenarios and the request log. It reads and writes the wire formats on its own and shares no
code with the tracer's parsers: what one of the two gets wrong must not be confirmed by the other.
"""

from __future__ import annotations

from .errors import ProviderError, ScenarioError
from .log import LogEntry, RequestLog, SentToolCall
from .scenario import Scenario
from .server import Provider

__all__ = ["LogEntry", "Provider", "ProviderError", "RequestLog", "Scenario", "ScenarioError", "SentToolCall"]

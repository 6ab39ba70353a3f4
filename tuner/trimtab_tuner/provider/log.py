"""The request log: the truth that tests compare a capture with.

In: one :class:`LogEntry` per request, made by :mod:`.connection` when the request is over. Out: the entries in memory,
in order of receipt, and optionally one JSON line each in a file (one write per request, so that a killed process leaves
whole lines). Secrets are replaced before an entry is made. If the file can't be written any more, requests are still
answered and the first error is kept in :attr:`RequestLog.file_error`.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import ProviderError

REDACTED = "[redacted]"
"""What stands where a secret was."""

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "set-cookie"}
)
"""Headers whose values are never logged."""

_SECRET_QUERY = re.compile(r"(?i)([?&](?:key|api[-_]?key|access_token|token)=)[^&#]*")


@dataclass(frozen=True, slots=True)
class SentToolCall:
    """A tool call whose arguments were sent completely."""

    id: str | None
    """None where the API has no ids (Ollama)."""
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request and what was sent for it; docs/provider.md explains each field."""

    n: int
    received_ns: int
    finished_ns: int
    method: str
    path: str
    api: str | None
    model: str | None
    stream: bool
    step: int | None
    headers: dict[str, str]
    body: Any
    body_digest: str
    status: int | None
    rule: int | None
    fault: str | None
    response_id: str | None
    request_id: str | None
    finish: str | None
    text: str
    tool_calls: tuple[SentToolCall, ...]
    tool_result_ids: tuple[str, ...]
    usage: dict[str, Any] | None
    chunks: int
    response_bytes: int
    client_closed: bool


def safe_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header names in lower case and values as text, secrets replaced."""
    pairs = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
    return {name: REDACTED if name in SECRET_HEADERS else value for name, value in pairs}


def safe_path(target: str) -> str:
    """The request target with the values of secret query keys replaced."""
    return _SECRET_QUERY.sub(rf"\g<1>{REDACTED}", target)


class RequestLog:
    """Entries in memory, and in a file if ``path`` is given.

    Raises:
        ProviderError: the file can't be opened for appending.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.file_error: OSError | None = None
        self.path = None if path is None else Path(path)
        self._added = threading.Condition()
        self._entries: list[LogEntry] = []
        self._fd: int | None = None
        if self.path is not None:
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:
                raise ProviderError.bad_log(self.path, error) from error

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        """The requests that are over, in order of receipt."""
        with self._added:
            return tuple(sorted(self._entries, key=lambda entry: entry.n))

    def wait_for(self, count: int, timeout_s: float = 5.0) -> tuple[LogEntry, ...]:
        """The entries, once there are ``count`` of them.

        Raises:
            TimeoutError: after ``timeout_s`` there are fewer.
        """
        deadline = time.monotonic() + timeout_s
        with self._added:
            while len(self._entries) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(
                        f"{len(self._entries)} requests were logged in {timeout_s:g} s, expected {count}"
                    )
                self._added.wait(left)
            return self.entries

    def add(self, entry: LogEntry) -> None:
        """Keep ``entry`` and write its line."""
        with self._added:
            self._entries.append(entry)
            if self._fd is not None:
                line = json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
                try:
                    os.write(self._fd, line.encode("utf-8", "surrogatepass"))
                except OSError as error:
                    self.file_error = self.file_error or error
            self._added.notify_all()

    def close(self) -> None:
        """Close the file; the entries in memory stay."""
        with self._added:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

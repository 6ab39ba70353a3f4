"""The sidecar's API as other processes of this machine call it: the CLI, the demo, later the dashboard.

In: settings, through which the running sidecar's address and token are found. Out: decoded JSON. ``http.client``
is used as it is: no proxy variable can send a token elsewhere, nothing of ours is imported in a process that only
wants to ask, and an instrumented HTTP library does not record us. A sidecar that does not answer, or refuses,
raises :class:`~trimtab_tracer.errors.SidecarError`; no sidecar at all is no error, :func:`connect` returns None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from trimtab_tracer.errors import SidecarError
from trimtab_tracer.records import Record, to_dict
from trimtab_tracer.settings import Settings

from . import home

CONNECT_TIMEOUT_S = 5.0
"""How long a living sidecar may take to say that it is there."""


class Client:
    """Calls one sidecar. Each request opens its own connection, so one client may be used from many threads.

    Args:
        url: Where the sidecar listens.
        token: What it asks for.
        timeout_s: How long one answer may take.
        found: File that the token was read from, and the sidecar's pid, to be able to say more if it is refused.
    """

    BATCH_BYTES = 8 << 20
    """Records are posted in bodies of about this size, well below what the sidecar accepts."""

    def __init__(
        self, url: str, token: str, timeout_s: float = 120.0, *, found: tuple[Path, int] | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._found = found

    def get(self, path: str, **parameters: object) -> Any:
        """The decoded answer of ``GET <path>?<parameters>``; parameters that are None are left out, lists repeated.

        Raises:
            SidecarError: no answer, or a refusal; its text quotes the sidecar's sentence.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._send("GET", f"{path}?{urlencode(given, doseq=True)}" if given else path)

    def pages(self, path: str, **parameters: object) -> Iterator[Any]:
        """Every item of a paged list, fetched page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **(parameters | {"cursor": cursor}))
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def post_records(self, records: Iterable[Record], replace: Sequence[str] = ()) -> dict[str, int]:
        """Hand records to the sidecar's store; posting the same ones again changes nothing.

        Args:
            records: any number; they are sent in several requests if they are many.
            replace: ids of runs of which the store is to keep nothing but these records; the first request deletes
                the rest.

        Returns:
            How many records of each kind were sent.
        """
        counts: dict[str, int] = {}
        for number, batch in enumerate(_batches(records, self.BATCH_BYTES)):
            query = "" if number else urlencode({"replace": list(replace)}, doseq=True)
            answer = self._send("POST", f"/v1/import?{query}" if query else "/v1/import", batch)
            for kind, count in answer["by_kind"].items():
                counts[kind] = counts.get(kind, 0) + count
        return counts

    def _send(self, method: str, target: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            headers["Content-Type"] = "application/x-ndjson"
        status, text = _request(self.url, method, target, headers, body, self._timeout_s)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"detail": text[:200].decode("utf-8", "replace")}
        if status == 401 and self._found is not None:
            raise SidecarError.other_token(self.url, *self._found)
        if status >= 400:
            detail = answer.get("detail") if isinstance(answer, dict) else None
            raise SidecarError.refused(f"{self.url}{target.partition('?')[0]}", status, str(detail))
        return answer


def connect(settings: Settings) -> Client | None:
    """A client of the sidecar that serves this home, or None if none runs.

    The sidecar is asked who it is before the token is shown to anything: its answer must carry the pid of its note.

    Raises:
        SidecarError: its process is alive and accepts connections, but does not answer; the home can't be read.
    """
    note = home.read_note(settings)
    token = home.read_token(settings)
    if note is None or token is None:
        return None
    try:
        status, text = _request(note.url, "GET", "/v1/health", {}, None, CONNECT_TIMEOUT_S)
    except SidecarError as error:
        if isinstance(error.__cause__, ConnectionRefusedError):  # the pid is someone else's by now, the note is stale
            return None
        raise
    try:
        is_same = status == 200 and json.loads(text)["pid"] == note.pid
    except (ValueError, KeyError, TypeError):
        is_same = False
    return Client(note.url, token, found=(settings.token_path, note.pid)) if is_same else None


def _request(
    url: str, method: str, target: str, headers: dict[str, str], body: bytes | None, timeout_s: float
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException) as error:
        raise SidecarError.unreachable(url, error) from error
    finally:
        connection.close()


def _batches(records: Iterable[Record], size: int) -> Iterator[bytes]:
    """JSON lines in pieces of at least ``size`` bytes, except the last."""
    lines: list[bytes] = []
    held = 0
    for record in records:
        line = json.dumps(to_dict(record), separators=(",", ":")).encode() + b"\n"
        lines.append(line)
        held += len(line)
        if held >= size:
            yield b"".join(lines)
            lines, held = [], 0
    if lines:
        yield b"".join(lines)

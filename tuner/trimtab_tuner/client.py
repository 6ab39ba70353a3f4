"""The sidecar's API as other processes of this machine call it: the CLI, the demo, the dashboard.

In: settings, through which the running sidecar's address and token are found, and who asks. Out: decoded JSON.
``http.client`` is used as it is: no proxy variable can send a token elsewhere, nothing of ours is imported in a process
that only wants to ask, and an instrumented HTTP library does not record us. A sidecar that does not answer, or refuses,
raises :class:`~trimtab_tracer.errors.SidecarError`; one that understood and declines raises :class:`Declined` with the
sidecar's own sentence, and :class:`Conflicted` where somebody was quicker. No sidecar at all is no error,
:func:`connect` returns None.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from trimtab_tracer.errors import SidecarError
from trimtab_tracer.records import Record, to_dict
from trimtab_tracer.settings import Settings

from . import home

CONNECT_TIMEOUT_S = 5.0
"""How long a living sidecar may take to say that it is there."""
MAX_NAME = 80
"""Longest name that the sidecar takes."""
DECLINED = (400, 404, 409, 422)
"""Statuses of requests that were understood and not done; the others mean that something is in the way."""


class Declined(SidecarError):  # noqa: N818 - reads as the sentence it stands for
    """The sidecar understood the request and did not do it. The message is its own sentence."""

    exit_code: ClassVar[int] = 1


class Conflicted(Declined):
    """Somebody else decided before."""


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    body: bytes


class Client:
    """Calls one sidecar. Each request opens its own connection, so one client may be used from many threads.

    Args:
        url: Where the sidecar listens.
        token: What it asks for.
        timeout_s: How long one answer may take.
        found: File that the token was read from, and the sidecar's pid, to be able to say more if it is refused.
        actor: Who asks, for the audit; None for nobody in particular.
        via: From where: ``api``, ``cli``, ``dashboard`` or ``demo``.
    """

    BATCH_BYTES = 8 << 20
    """Records are posted in bodies of about this size, well below what the sidecar accepts."""

    def __init__(
        self,
        url: str,
        token: str,
        timeout_s: float = 120.0,
        *,
        found: tuple[Path, int] | None = None,
        actor: str | None = None,
        via: str = "api",
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "X-Trimtab-Via": via}
        if actor is not None:
            self._headers["X-Trimtab-Actor"] = quote(actor, safe="")
        self._timeout_s = timeout_s
        self._found = found

    def get(self, path: str, **parameters: object) -> Any:
        """The decoded answer of ``GET <path>?<parameters>``; parameters that are None are left out, lists repeated.

        Raises:
            SidecarError: no answer, or a refusal; its text quotes the sidecar's sentence.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._send("GET", f"{path}?{urlencode(given, doseq=True)}" if given else path)

    def post(self, path: str, body: object = None) -> Any:
        """The decoded answer of ``POST <path>`` with ``body`` as JSON; None sends no body.

        Raises:
            Conflicted: somebody else decided before; the message names them.
            Declined: the sidecar can't do this, and says why.
            SidecarError: no answer, or the token does not reach so far.
        """
        text = None if body is None else json.dumps(body).encode()
        return self._send("POST", path, text, "application/json")

    def table(self, name: str, **parameters: object) -> bytes:
        """One table of the store as a Parquet file; see ``GET /v1/tables/{table}``.

        Raises:
            SidecarError: no answer, or a refusal.
        """
        given = {key: value for key, value in parameters.items() if value is not None}
        target = f"/v1/tables/{name}?{urlencode(given, doseq=True)}"
        status, body = self._request("GET", target, dict(self._headers), None)
        if status >= 400:
            raise self._refused(target, status, _decoded(body))
        return body

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

    def _send(self, method: str, target: str, body: bytes | None = None, kind: str = "application/x-ndjson") -> Any:
        headers = dict(self._headers) if body is None else {**self._headers, "Content-Type": kind}
        status, text = self._request(method, target, headers, body)
        answer = _decoded(text)
        if status < 400:
            return answer
        raise self._refused(target, status, answer)

    def _refused(self, target: str, status: int, answer: object) -> SidecarError:
        if status == 401 and self._found is not None:
            return SidecarError.other_token(self.url, *self._found)
        where = f"{self.url}{target.partition('?')[0]}"
        return _refusal(where, status, answer if isinstance(answer, dict) else {})

    def _request(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Reply:
        """The answer, whatever its status."""
        return _request(self.url, method, target, headers, body, self._timeout_s)


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"detail": text[:200].decode("utf-8", "replace")}


def _refusal(url: str, status: int, answer: dict[str, Any]) -> SidecarError:
    """What an answer with an error status means; sentences of the sidecar's own stand for themselves."""
    detail = str(answer.get("detail"))
    error = SidecarError.refused(url, status, detail)
    if status in DECLINED:
        error = (Conflicted if status == 409 else Declined)(detail)
    elif str(answer.get("type")).startswith("trimtab:"):
        error = SidecarError(detail)
    error.status = status
    return error


def user_name() -> str | None:
    """Who runs this process, as the operating system says; None where it does not."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user here, as in many containers
        return None
    return name[:MAX_NAME] if name.isprintable() and name.strip() else None


def connect(settings: Settings, actor: str | None = None, via: str = "cli") -> Client | None:
    """A client of the sidecar that serves this home, or None if none runs.

    The sidecar is asked who it is before the token is shown to anything: its answer must carry the pid of its note.

    Args:
        settings: Name the home.
        actor: Who asks; by default the user of this process.
        via: From where.

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
    if not is_same:
        return None
    return Client(note.url, token, found=(settings.token_path, note.pid), actor=actor or user_name(), via=via)


def _request(
    url: str, method: str, target: str, headers: dict[str, str], body: bytes | None, timeout_s: float
) -> Reply:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, target, body=body, headers=headers)
        with closing(connection.getresponse()) as response:  # it may have taken the socket over
            return Reply(response.status, response.read())
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

"""A provider that answers at once: what is measured is the client's side alone.

A process of its own, a thread per connection, fixed bytes. It answers 1 kB of JSON, or a stream of 200 chunks where the
request asks for one. Not the scripted provider of the tests, whose own work would hide that of the client.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

CHUNKS = 200


def _answer() -> bytes:
    message = {"role": "assistant", "content": "lorem ipsum " * 90}
    usage = {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    head = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 0, "model": "gpt-4o"}
    return json.dumps({**head, "choices": choices, "usage": usage}).encode()


def _event(delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "gpt-4o", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _response(body: bytes, kind: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nx-request-id: req-bench\r\ncontent-type: " + kind
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


ANSWER = _response(_answer(), b"application/json")
_CHUNKS = b"".join([_event({"content": "word "}, None)] * (CHUNKS - 1) + [_event({}, "stop")])
STREAM = _response(_CHUNKS + b"data: [DONE]\n\n", b"text/event-stream")


def _serve(ready: Any) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    ready.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_converse, args=(connection,), daemon=True).start()


def _converse(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = connection.makefile("rb", buffering=1 << 18)
    with suppress(OSError), connection:
        while file.readline():
            length = 0
            while (line := file.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = file.read(length)
            connection.sendall(STREAM if b'"stream":true' in body.replace(b" ", b"") else ANSWER)


@contextmanager
def provider() -> Iterator[str]:
    """Run it; gives its base URL."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(send,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receive.recv()}/v1"
    finally:
        process.terminate()
        process.join()

"""Sends and gets bodies of any size, encoding and shape over both HTTP libraries; prints what came of each as JSON.

Each is sent without tracing and with it. Then comes a conversation of 100,000 messages, in turns without and with
tracing, whose times are printed. Argument: none.
"""

import gzip
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import httpx2

import trimtab

CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}
ANSWER = {"id": "c", "model": "gpt-5-mini", "choices": [{"index": 0, "message": {"content": "Hi"}}]}
PLAIN, EVENTS = "application/json", "text/event-stream"
EVENT = b"data: " + json.dumps(ANSWER).encode() + b"\n\n"


def with_text(text: str) -> bytes:
    """A request with one message."""
    return json.dumps(CHAT | {"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()


BODIES = {
    "plain": with_text("Hello"),
    "utf-16": json.dumps(CHAT).encode("utf-16"),
    "utf-8 with a mark": b"\xef\xbb\xbf" + with_text("Hello"),
    "not utf-8": with_text("Hello").replace(b"Hello", b"\xff\xfe\x80"),
    "half of a pair": json.dumps(CHAT | {"user": "\ud83d"}).encode(),
    "no numbers": b'{"model": "m", "temperature": NaN, "top_p": Infinity, "seed": 1e999}',
    "large number": b'{"model": "m", "seed": ' + b"9" * 5000 + b"}",
    "deep": b'{"model": "m", "messages": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "same keys": b'{"model": "one", "model": "two", "messages": [], "messages": 7}',
    "wrong types": b'{"model": "m", "messages": {"a": 1}, "tools": "x", "stop": 5, "stream": "maybe", "n": []}',
    "nulls": b'{"model": "m", "messages": [null, {"role": null, "content": [null]}], "tools": [null, {}]}',
    "cut": with_text("Hello")[:-9],
    "empty": b"",
    "a list": b'[{"model": "m"}]',
    "control characters": with_text("\x00\x1b[31m\u202e\r\n"),
    "20 MB": with_text("word " * 4_000_000),
    "a line of 2 MB": with_text("x" * 2_000_000),
    "many keys": json.dumps(CHAT | {"metadata": {f"k{n}": n for n in range(50_000)}}).encode(),
}
ANSWERS = {
    "plain": (PLAIN, json.dumps(ANSWER).encode()),
    "empty": (PLAIN, b""),
    "a page": ("text/html", b"<html><body>Bad gateway</body></html>"),
    "cut": (PLAIN, json.dumps(ANSWER).encode()[:-7]),
    "not utf-8": (PLAIN, b'{"choices": "\xff\xfe"}'),
    "wrong types": (PLAIN, b'{"choices": {"0": []}, "usage": [], "id": {}, "model": 5}'),
    "a list": (PLAIN, b"[1, 2, 3]"),
    "deep": (PLAIN, b'{"choices": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "events": (EVENTS, EVENT * 3 + b"data: [DONE]\n\n"),
    "events without an end": (EVENTS, EVENT * 3),
    "an event that is cut": (EVENTS, EVENT * 2 + EVENT[: len(EVENT) // 2]),
    "events of nonsense": (EVENTS, b":\n\ndata\n\ndata: {\n\nevent: x\ndata: []\n\nid: 5\r\rdata: \xff\n\n" + EVENT),
    "events said to be plain": (PLAIN, EVENT * 3),
    "an event of 3 MB": (EVENTS, b"data: " + json.dumps("x" * 3_000_000).encode() + b"\n\n"),
    "packed": ("gzip", gzip.compress(json.dumps(ANSWER).encode(), mtime=0)),
    "said to be packed": ("gzip", b"this is not gzip"),
    "packed and cut": ("gzip", gzip.compress(json.dumps(ANSWER).encode() * 50, mtime=0)[:-20]),
}


class Answers(BaseHTTPRequestHandler):
    """Answers what the request's header asks for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the body, and answer."""
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        kind, body = ANSWERS[self.headers.get("x-answer", "plain")]
        self.send_response(200)
        self.send_header("content-type", PLAIN if kind == "gzip" else kind)
        if kind == "gzip":
            self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def ask(client: httpx.Client | httpx2.Client, url: str, body: bytes, answer: str, stream: bool) -> str:
    """What came of one request."""
    headers = {"content-type": PLAIN, "x-answer": answer}
    try:
        if not stream:
            got = client.post(url, content=body, headers=headers).content
        else:
            with client.stream("POST", url, content=body, headers=headers) as response:
                got = b"".join(response.iter_bytes())
        return f"{len(got)} {hashlib.sha256(got).hexdigest()[:12]}"
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__qualname__}: {error}"


def everything(url: str) -> dict[str, str]:
    """What came of every request."""
    results = {}
    for library in (httpx, httpx2):
        with library.Client(timeout=60, trust_env=False) as client:
            for name, body in BODIES.items():
                results[f"{library.__name__}, {name}"] = ask(client, url, body, "plain", False)
            for name in ANSWERS:
                for stream in (False, True):
                    key = f"{library.__name__}, answer {name}{', streamed' if stream else ''}"
                    results[key] = ask(client, url, BODIES["plain"], name, stream)
    return results


def long_history(url: str) -> dict[str, list[float]]:
    """Seconds of calls with 100,000 messages, without and with tracing, in turns."""
    messages = [{"role": ("user", "assistant")[n % 2], "content": f"message number {n}"} for n in range(100_000)]
    times: dict[str, list[float]] = {"bare": [], "traced": []}
    with httpx2.Client(timeout=60, trust_env=False) as client:
        for turn in range(10):
            if turn % 2:
                trimtab.instrument()
            started = time.perf_counter()
            client.post(url, json=CHAT | {"messages": messages})
            times["traced" if turn % 2 else "bare"].append(time.perf_counter() - started)
            trimtab.flush(30)
            trimtab.uninstrument()
    return times


server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
bare = everything(address)
trimtab.instrument()
traced = everything(address)
trimtab.flush(60)
trimtab.uninstrument()
# Other programs only ever add time: the fastest call of each kind was disturbed least.
history = {kind: min(times) for kind, times in long_history(address).items()}
print(json.dumps({"bare": bare, "traced": traced, "history": history}), flush=True)
server.shutdown()
os._exit(0)

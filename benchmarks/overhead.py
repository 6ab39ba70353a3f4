"""What tracing costs an agent: time added to a call, CPU, memory and start-up, bare and traced in one run.

    python benchmarks/overhead.py [--rounds 30] [--json]

A real openai client talks to a real HTTP server on loopback, whose process answers at once. Blocks of bare and of
traced calls take turns, so that a noisy machine disturbs both alike; medians over all calls of a kind are compared.
CPU is the whole process's, our background thread included. Nothing here is a promise for another machine: read the
ratios.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

BLOCK = 40
"""Calls in a row before the other kind's turn."""

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt-4o",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "lorem ipsum " * 90}}
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600},
    }
).encode()


def _event(delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "gpt-4o", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


EVENTS = b"".join([_event({"content": "word "}, None)] * 199 + [_event({}, "stop")]) + b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Cost:
    """Bare against traced, per call."""

    what: str
    calls: int
    bare_us: float
    traced_us: float
    bare_cpu_us: float
    traced_cpu_us: float

    @property
    def added_us(self) -> float:
        """Median time that tracing adds to one call."""
        return self.traced_us - self.bare_us


def serve(ready: Any) -> None:
    """Answer every request at once; streams where the body asks for one."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = connection.recv(65536)
                if not data:
                    break
                buffer += data
            if b"\r\n\r\n" not in buffer:
                break
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            length = int(next(h.split(b":")[1] for h in head.lower().split(b"\r\n") if h.startswith(b"content-length")))
            while len(buffer) < length:
                buffer += connection.recv(65536)
            body, buffer = buffer[:length], buffer[length:]
            streamed = b'"stream":true' in body.replace(b" ", b"")
            answer, kind = (EVENTS, b"text/event-stream") if streamed else (ANSWER, b"application/json")
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer
            )


@contextmanager
def server() -> Iterator[str]:
    """The server in a process of its own; gives its base URL."""
    receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(send,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receive.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def measure(what: str, call: Callable[[], None], rounds: int) -> Cost:
    """Bare and traced calls in turns."""
    import trimtab

    times: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, float] = {False: 0.0, True: 0.0}
    for _ in range(5):
        call()
    for number in range(2 * rounds):
        traced = bool(number % 2)
        if traced:
            trimtab.instrument()
        cpu_started = time.process_time()
        for _ in range(BLOCK):
            started = time.perf_counter()
            call()
            times[traced].append((time.perf_counter() - started) * 1e6)
        trimtab.flush()
        cpu[traced] += time.process_time() - cpu_started
        trimtab.uninstrument()
    calls = rounds * BLOCK
    return Cost(
        what,
        calls,
        statistics.median(times[False]),
        statistics.median(times[True]),
        cpu[False] / calls * 1e6,
        cpu[True] / calls * 1e6,
    )


def start_up() -> dict[str, float]:
    """Milliseconds and MiB of resident memory that switching on adds to a fresh interpreter, medians of 7."""
    resident = "int(open('/proc/self/statm').read().split()[1])*resource.getpagesize()/2**20"
    measured = f"import resource,time; before={resident}; s=time.perf_counter();"
    report = f"print((time.perf_counter()-s)*1e3, {resident}-before)"
    results = []
    for _ in range(7):
        code = f"{measured} import trimtab; trimtab.instrument(); {report}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        results.append([float(x) for x in done.stdout.split()])
    return {
        "import_and_instrument_ms": statistics.median(r[0] for r in results),
        "added_mib": statistics.median(r[1] for r in results),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=30, help=f"blocks of {BLOCK} calls of each kind")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, server() as url:
        os.environ["TRIMTAB_HOME"] = home
        from openai import OpenAI

        client = OpenAI(base_url=url, api_key="none")
        messages: Any = [{"role": "user", "content": "lorem ipsum " * 160}]

        def plain() -> None:
            client.chat.completions.create(model="gpt-4o", messages=messages)

        def stream() -> None:
            for _ in client.chat.completions.create(model="gpt-4o", messages=messages, stream=True):
                pass

        costs = [
            measure("call of 2 kB", plain, options.rounds),
            measure("stream of 200 chunks", stream, options.rounds),
        ]
        started = start_up()
    if options.json:
        print(json.dumps({"calls": [asdict(c) | {"added_us": c.added_us} for c in costs], "start_up": started}))
        return
    for cost in costs:
        print(
            f"{cost.what}: {cost.bare_us:.0f} us bare, {cost.traced_us:.0f} us traced (medians of {cost.calls}): "
            f"{cost.added_us:+.0f} us, x{cost.traced_us / cost.bare_us:.3f}; "
            f"CPU {cost.bare_cpu_us:.0f} -> {cost.traced_cpu_us:.0f} us"
        )
    print(f"start-up: {started['import_and_instrument_ms']:.0f} ms, {started['added_mib']:.1f} MiB")


if __name__ == "__main__":
    main()

"""A provider on loopback that replays what each model answered to each prompt, with what it cost then.

In: a table of outcomes. Out: chat completions over HTTP. The first word of a request's last message is the id of the
prompt, so an agent that asks as any agent does gets what the model that was asked once cost (as ``usage.cost``, where
gateways put it) and, as its text, the grade that its answer was given.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Recorded(NamedTuple):
    """What one model came to on one prompt."""

    reward: float
    cost_usd: float


class Replay:
    """Serves from a thread of its own until :meth:`close`."""

    def __init__(self, table: dict[tuple[str, str], Recorded]) -> None:
        self.table = table
        self.asked: list[tuple[str, str]] = []
        """Prompt and model of every request, in order."""
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = json.dumps(replay._answer(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Nothing: the benchmark prints its own lines."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        """Stop to serve."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        model, qid = body["model"], body["messages"][-1]["content"].split()[0]
        found = self.table[qid, model]
        self.asked.append((qid, model))
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cost": found.cost_usd}
        message = {"role": "assistant", "content": f"reward {found.reward}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {"id": f"chatcmpl-{qid}", "object": "chat.completion", "created": 0, "model": model}
        return {**head, "choices": [choice], "usage": usage}

"""What the guard does while a WebSocket is open, over real sockets and a clock that is told the time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from trimtab_dashboard.guard import Guard, is_by_person
from trimtab_dashboard.sessions import Sessions
from trimtab_tuner.gate import own_hosts, own_origins

HALF_A_DAY_S = 12 * 3600.0


class Clock:
    """Seconds that go forward when told to."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def rerun(*, is_auto: bool) -> bytes:
    """What Streamlit's page sends to be drawn again, by a person or by itself."""
    message = BackMsg()
    message.rerun_script.is_auto_rerun = is_auto
    return message.SerializeToString()


async def echo(websocket: WebSocket) -> None:
    """Say who is there, then answer each message with itself."""
    await websocket.accept()
    await websocket.send_text(websocket.headers["x-trimtab-person"])
    async for message in websocket.iter_bytes():
        await websocket.send_bytes(message)


@pytest.fixture
def clock() -> Clock:
    """A clock at zero."""
    return Clock()


@pytest.fixture
def opened(clock: Clock, until: Callable[..., None]) -> Iterator[ClientConnection]:
    """A WebSocket of Ida's session."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    sessions = Sessions(clock)
    cookie = sessions.open("Ida Lünd")
    app = Guard(
        Starlette(routes=[WebSocketRoute("/", echo)]),
        sessions=sessions,
        hosts=own_hosts(port),
        origins=own_origins(port),
        cookie="c",
        content_policy="default-src 'self'",
    )
    config = uvicorn.Config(app, loop="asyncio", ws="websockets-sansio", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    until(lambda: server.started)
    origin = f"http://127.0.0.1:{port}"
    try:
        with connect(
            f"ws://127.0.0.1:{port}/",
            origin=origin,  # type: ignore[arg-type]  # a plain str at run time
            additional_headers={"Cookie": f"other=1; c={cookie}"},
            proxy=None,
        ) as connection:
            assert "Ida%20L%C3%BCnd" == connection.recv(timeout=30)
            yield connection
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_a_person_who_does_something_stays(opened: ClientConnection, clock: Clock) -> None:
    """Clicks keep a session alive for as long as they come."""
    for _ in range(3):
        clock.now_s += HALF_A_DAY_S - 1
        opened.send(rerun(is_auto=False))
        assert rerun(is_auto=False) == opened.recv(timeout=30)


def test_a_page_that_only_looks_for_news_does_not_keep_anybody_signed_in(
    opened: ClientConnection, clock: Clock
) -> None:
    """What the page asks for by itself is answered, and half a day after the last click the connection is closed."""
    clock.now_s += HALF_A_DAY_S - 1
    opened.send(rerun(is_auto=True))
    assert rerun(is_auto=True) == opened.recv(timeout=30)
    clock.now_s += 1
    opened.send(rerun(is_auto=True))
    with pytest.raises(ConnectionClosed, match="1008"):
        opened.recv(timeout=30)


@pytest.mark.parametrize("message", [None, b"", b"\xff\xff", rerun(is_auto=True)])
def test_only_a_persons_doing_counts(message: bytes | None) -> None:
    """No message, no message of Streamlit's, and a page's own look for news are nobody's doing."""
    assert not is_by_person(message)
    assert is_by_person(rerun(is_auto=False))

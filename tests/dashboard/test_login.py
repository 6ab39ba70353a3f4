"""Who gets in, tried over real HTTP and WebSockets against the real server, as the sidecar starts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from socket import create_connection
from urllib.parse import urlsplit

import httpx
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from trimtab_dashboard import strings
from trimtab_tuner.client import Client
from trimtab_tuner.dashboard_process import DashboardProcess
from trimtab_tuner.sidecar import Sidecar

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def url(sidecar: Sidecar, until: Callable[..., None]) -> Iterator[str]:
    """Where the real dashboard listens."""
    ready: list[str] = []
    token = sidecar.settings.token_path.read_text().strip()
    process = DashboardProcess(sidecar.settings, sidecar.url, token, ready.append)
    process.start()
    until(lambda: ready)
    yield ready[0]
    process.stop()


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    """A browser without a session."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def signed_in(browser: httpx.Client, api: Client) -> httpx.Client:
    """A browser in which Ida has opened a one-time link."""
    assert 200 == browser.get(f"/login?code={code(api)}").status_code
    return browser


def code(api: Client) -> str:
    """A fresh one-time code for Ida."""
    return str(api.post("/v1/login-codes", {"name": "Ida Lund"})["code"])


def socket(
    browser: httpx.Client, *, origin: str | None = "own", host: str | None = None, **headers: str
) -> ClientConnection:
    """Open the page's WebSocket with the browser's cookies, calling the server ``host``."""
    base = str(browser.base_url).rstrip("/")
    given = {"Cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items()), **headers}
    there = urlsplit(base)
    return connect(
        f"ws://{host or there.netloc}/_stcore/stream",
        sock=create_connection((there.hostname or "", there.port or 0)),
        origin=base if origin == "own" else origin,  # type: ignore[arg-type]  # a plain str at run time
        additional_headers=given,
        proxy=None,
        max_size=None,
    )


def page_over(connection: ClientConnection) -> bytes:
    """What the server sends when the page asks to be drawn, up to its end."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    connection.send(message.SerializeToString())
    received = b""
    while b"Signed in as" not in received:
        part = connection.recv(timeout=60)
        assert isinstance(part, bytes)
        received += part
    return received


def drain(connection: ClientConnection) -> None:
    """Read until the connection is closed."""
    while True:
        connection.recv(timeout=30)


def test_without_a_session_nothing_is_shown(browser: httpx.Client) -> None:
    """Pages lead to the login page and remember what was wanted; everything else is refused; health is open."""
    asked = browser.get("/run?run=r01", headers=HTML)
    assert (303, "/login?next=%2Frun%3Frun%3Dr01") == (asked.status_code, asked.headers["location"])
    for path in ("/", "/_stcore/host-config", "/static/index.html", "/favicon.png", "/_stcore/metrics"):
        assert (401, strings.NOT_SIGNED_IN) == (browser.get(path).status_code, browser.get(path).text)
    with pytest.raises(InvalidStatus, match="403"):
        socket(browser)
    assert 200 == browser.get("/_stcore/health").status_code


def test_a_made_up_cookie_is_no_session(browser: httpx.Client, url: str) -> None:
    """A cookie that we did not give opens nothing."""
    browser.cookies.set(f"trimtab_session_{urlsplit(url).port}", "x" * 43)
    assert 401 == browser.get("/").status_code
    with pytest.raises(InvalidStatus, match="403"):
        socket(browser)


def test_a_link_works_once(browser: httpx.Client, api: Client) -> None:
    """The first use signs in with a cookie that no script and no other site gets; the second is refused."""
    link = f"/login?code={code(api)}&next=/run?run=r01"
    first = browser.get(link)
    cookie = first.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert 'content="0;url=/run?run=r01"' in first.text
    assert 200 == browser.get("/", headers=HTML).status_code
    second = httpx.get(browser.base_url.join(link), trust_env=False)
    assert (401, None) == (second.status_code, second.headers.get("set-cookie"))
    assert "was used already" in second.text


def test_a_wrong_code_is_refused(browser: httpx.Client) -> None:
    """A code that nobody issued gives no session, and says how to get one."""
    answer = browser.get("/login?code=guessed")
    assert (401, None) == (answer.status_code, answer.headers.get("set-cookie"))
    assert "trimtab dashboard" in answer.text


def test_the_form_takes_the_token_and_a_name(browser: httpx.Client, sidecar: Sidecar, url: str) -> None:
    """The home's token and a name sign in; a wrong token, the read-only one or no name do not."""
    token = sidecar.settings.token_path.read_text().strip()
    reading = (sidecar.settings.home / "token.read").read_text().strip()
    own = {"origin": url}
    for form, status in (
        ({"token": "wrong", "name": "Ida"}, 401),
        ({"token": reading, "name": "Ida"}, 401),
        ({"token": token, "name": " "}, 422),
        ({"token": token, "name": "a" * 81}, 422),
        ({"token": token * 200, "name": "Ida"}, 422),
    ):
        answer = browser.post("/login", data=form, headers=own)
        assert (status, None) == (answer.status_code, answer.headers.get("set-cookie"))
    refused = browser.post("/login", data={"token": "wrong", "name": "<b>Ida</b>", "next": '/"><script>'}, headers=own)
    assert "<b>" not in refused.text
    assert "<script>" not in refused.text
    assert 200 == browser.post("/login", data={"token": token, "name": "Ida"}, headers=own).status_code
    assert 200 == browser.get("/", headers=HTML).status_code


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "/login?code=x", "x"])
def test_signing_in_leads_nowhere_else(browser: httpx.Client, api: Client, wanted: str) -> None:
    """After signing in one is on the dashboard, whatever the link names."""
    answer = browser.get("/login", params={"code": code(api), "next": wanted})
    assert ["/"] == re.findall(r'content="0;url=([^"]*)"', answer.text)


def test_the_page_knows_who_is_signed_in(signed_in: httpx.Client) -> None:
    """The WebSocket of a session draws pages for its person, whatever name the client puts into headers."""
    with socket(signed_in, **{"X-Trimtab-Person": "Mallory", "X-Trimtab-Session": "s"}) as connection:
        drawn = page_over(connection)
    assert b"Signed in as Ida Lund" in drawn
    assert b"Mallory" not in drawn


def test_another_host_is_refused(signed_in: httpx.Client) -> None:
    """A page whose name was pointed at this machine gets nothing, even with a session."""
    for host in ("evil.example", "evil.example:4320", "127.0.0.1", "127.0.0.1:1"):
        assert 421 == signed_in.get("/", headers={"host": host}).status_code
        assert 421 == signed_in.get("/login", headers={"host": host}).status_code
    with pytest.raises(InvalidStatus, match="403"):
        socket(signed_in, host="evil.example")


def test_another_origin_is_refused(signed_in: httpx.Client, url: str, sidecar: Sidecar) -> None:
    """Pages from elsewhere, also from another port of this machine, reach neither pages nor WebSocket nor form."""
    port = urlsplit(url).port or 0
    for origin in ("https://evil.example", f"http://127.0.0.1:{port + 1}", "null"):
        assert 403 == signed_in.get("/", headers={"origin": origin}).status_code
        assert 403 == signed_in.post("/login", headers={"origin": origin}).status_code
        with pytest.raises(InvalidStatus, match="403"):
            socket(signed_in, origin=origin)
    token = sidecar.settings.token_path.read_text().strip()
    assert 403 == signed_in.post("/login", data={"token": token, "name": "Ida"}).status_code
    with pytest.raises(InvalidStatus, match="403"):
        socket(signed_in, origin=None)


def test_signing_out_ends_everything(signed_in: httpx.Client) -> None:
    """The cookie is worth nothing any more, and an open page's WebSocket is closed."""
    cookies = dict(signed_in.cookies)
    with socket(signed_in) as connection:
        page_over(connection)
        assert strings.SIGNED_OUT in signed_in.get("/logout").text
        with pytest.raises(ConnectionClosed, match="1008"):
            drain(connection)
    assert 401 == httpx.get(str(signed_in.base_url), cookies=cookies, trust_env=False).status_code


def test_answers_allow_nothing_from_elsewhere(signed_in: httpx.Client) -> None:
    """Every page carries a policy under which the browser loads only from here."""
    for path in ("/", "/login", "/_stcore/health"):
        headers = signed_in.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert ("DENY", "nosniff") == (headers["x-frame-options"], headers["x-content-type-options"])

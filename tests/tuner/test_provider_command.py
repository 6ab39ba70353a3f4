"""``trimtab provider`` as a process, and where it listens."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from trimtab_tuner.provider import Provider, ProviderError

EXAMPLE = Path(__file__).parents[2] / "examples" / "scenarios" / "tool_loop.toml"
CHAT = {"model": "gpt-x", "messages": [{"role": "user", "content": "go"}]}


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a child process, which is gone afterwards."""
    argv = [sys.executable, "-m", "trimtab", "provider", *arguments]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    """It prints its URL, answers from the scenario, logs to the file, and ends with 0 on SIGINT and SIGTERM."""
    path = tmp_path / "log.jsonl"
    with command("--scenario", str(EXAMPLE), "--log", str(path), "--seed", "3") as process:
        assert process.stdout is not None
        url = re.search(r"http://\S+", process.stdout.readline())
        assert url is not None
        statuses = [httpx.post(f"{url[0]}/v1/chat/completions", json=CHAT).status_code for _ in range(2)]
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, statuses, errors) == (0, [429, 200], "")
    assert "Answered 2 requests." in rest
    assert [json.loads(line)["status"] for line in path.read_text("utf-8").splitlines()] == statuses


def test_a_signal_during_a_request_does_not_hang() -> None:
    """Requests in progress are cut when it is told to end."""
    with command() as process, socket.socket() as client:
        assert process.stdout is not None
        url = re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline())
        assert url is not None
        client.connect(("127.0.0.1", int(url[1])))
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 50\r\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--scenario", "nowhere.toml"], "nowhere.toml: the scenario can't be read", 2),
        (["--host", "0.0.0.0"], "listens on the loopback only and '0.0.0.0' is not part of it", 3),
        (["--log", os.curdir], "the request log can't be written", 3),
    ],
)
def test_one_sentence_for_what_is_wrong(arguments: list[str], words: str, code: int) -> None:
    """A bad scenario, host or log is one line on standard error and an exit code, no traceback."""
    with command(*arguments) as process:
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


def test_port_in_use() -> None:
    """A taken port is one sentence that names it and the next step."""
    with Provider() as provider, command("--port", str(provider.port)) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 3
    assert f"Port {provider.port} on 127.0.0.1 is in use by another program" in errors


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])
def test_other_hosts_are_refused(host: str) -> None:
    """Nothing but the loopback is listened on."""
    with pytest.raises(ProviderError, match="loopback only"):
        Provider(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_every_loopback_address_works(host: str) -> None:
    """Addresses of the loopback are listened on, and the URL leads there."""
    try:
        with Provider(host=host) as provider:
            assert httpx.post(f"{provider.url}/v1/chat/completions", json=CHAT).status_code == 200
    except ProviderError as error:
        if host not in ("::1", "127.0.0.2"):
            raise
        pytest.skip(f"this machine has no {host}: {error}")

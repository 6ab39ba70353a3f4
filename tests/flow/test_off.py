"""Turned off means gone: nothing of ours stays in anyone's classes."""

from __future__ import annotations

import json
from typing import Any

SCENARIO: dict[str, Any] = {"rules": [{"text": "Hello."}]}


def test_uninstrument_restores_everything(flow: Any) -> None:
    """After uninstrument() every attribute of the patched libraries is the one that was there before."""
    ran = flow.run(flow.program("patched.py"), SCENARIO)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["after"] == []
    for hook in ("httpx.Client.send", "httpx.AsyncClient.send", "httpx2.Client.send", "httpx2.AsyncClient.send"):
        assert hook in seen["during"]
    assert {"threading.Thread.start", "openai._base_client.BaseClient._build_request"} <= set(seen["during"])
    assert seen["threads"] == 0
    records = flow.records(ran.home)
    assert len(ran.log) == 12
    assert len(records.rows("FROM attempts")) == 2


def test_disabled_never_patches(flow: Any) -> None:
    """With TRIMTAB_DISABLED=1 the same program finds nothing patched at any time, and no file is written."""
    ran = flow.run(flow.program("patched.py"), SCENARIO, TRIMTAB_DISABLED="1")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"during": [], "after": [], "threads": 0}
    assert list(ran.home.iterdir()) == []

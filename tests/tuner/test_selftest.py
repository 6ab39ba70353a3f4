"""``trimtab doctor --selftest``: real calls of real SDKs, judged by what the scripted provider answered."""

from __future__ import annotations

import sys

import pytest

from trimtab_tuner import selftest
from trimtab_tuner.selftest import Probe


def test_an_installed_sdk_is_tried() -> None:
    """Each installed SDK makes its call in a process of its own, and the call is found with its line."""
    (tried,) = selftest.selftest(sys.executable, {"anthropic": "2"})
    assert {"name": "anthropic", "ok": True, "requests": 1, "captured": 1} == {
        key: value for key, value in tried.items() if key != "text"
    }
    assert "captured, once, pinned to its line" == tried["text"]


def test_what_is_not_captured_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that we do not see, and one that makes no call at all, fail the test with the reason."""
    body = 'b\'{"model": "m", "messages": []}\''
    urllib = f"import urllib.request as u; u.urlopen(u.Request(URL + '/v1/chat/completions', {body})).close()"
    broken = Probe("broken", "import no_such_module")
    monkeypatch.setattr(selftest, "PROBES", (Probe("unseen", urllib), broken, Probe("absent", "")))
    unseen, silent = selftest.selftest(sys.executable, {"unseen": "1", "broken": "1"})
    assert (False, 1, 0) == (unseen["ok"], unseen["requests"], unseen["captured"])
    assert "1 of 1 requests were not captured" == unseen["text"]
    assert (False, 0) == (silent["ok"], silent["requests"])
    assert "it made no call: ModuleNotFoundError: No module named 'no_such_module'" == silent["text"]

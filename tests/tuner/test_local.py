"""Who answers a command: the running sidecar, one that has just come up, or the home itself, never two at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from trimtab_tracer.errors import SidecarError, StoreError, TrimtabError
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner import home
from trimtab_tuner.client import Conflicted, Declined
from trimtab_tuner.local import HomeClient, sidecar_or_home
from trimtab_tuner.sidecar import Sidecar


def test_the_running_sidecar_is_asked(sidecar: Sidecar) -> None:
    """Where one serves the home it answers, and the store is not touched from here."""
    with sidecar_or_home(sidecar.settings) as client:
        assert not isinstance(client, HomeClient)
        assert sidecar.url == client.url
        assert os.getpid() == client.get("/v1/health")["pid"]


def test_one_that_just_comes_up_is_found(sidecar: Sidecar) -> None:
    """A sidecar that holds the home but has not said where it listens is waited for, instead of failing."""
    note = home.read_note(sidecar.settings)
    assert note is not None
    home.remove_note(sidecar.settings)
    telling = threading.Timer(0.3, home.write_note, (sidecar.settings, note))
    telling.start()
    with sidecar_or_home(sidecar.settings) as client:
        assert sidecar.url == client.url
    telling.join()


def test_another_command_is_waited_for(
    settings: Settings, spool_dir_of: Callable[[Settings], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two commands at once without a sidecar the second one comes after the first; one that can't wait is told."""
    spool_dir_of(settings)
    monkeypatch.setattr(home, "NOTE_WAIT_S", 0.05)
    first = home.HomeLock(settings)
    with pytest.raises(SidecarError, match="another command works on it"), sidecar_or_home(settings):
        raise AssertionError("it must not come so far")
    monkeypatch.setattr(home, "NOTE_WAIT_S", 0.5)
    letting_go = threading.Timer(0.6, first.release)
    letting_go.start()
    with pytest.raises(SidecarError), sidecar_or_home(settings, is_patient=False):
        raise AssertionError("it must not come so far")
    with sidecar_or_home(settings) as client:
        assert isinstance(client, HomeClient)
    letting_go.join()


def test_without_one_the_home_answers_alike(settings: Settings, spool_dir_of: Callable[[Settings], None]) -> None:
    """The same rows, refusals and conflicts as over HTTP; the lock is held meanwhile and given back."""
    spool_dir_of(settings)
    with sidecar_or_home(settings) as client:
        assert isinstance(client, HomeClient)
        with pytest.raises(SidecarError, match="already serves"):
            home.HomeLock(settings)
        seen = client.get("/v1/policy")["version"]
        assert client.post("/v1/freeze")["frozen"]
        with pytest.raises(Conflicted, match="froze all steering"):
            client.post("/v1/policy/rollback", {"seen": seen})
        with pytest.raises(Declined, match="Unknown field 'sen'"):
            client.post("/v1/unfreeze", {"sen": seen})
        with pytest.raises(Declined, match="There is no recommendation 'x'"):
            client.get("/v1/recommendations/x")
        assert ["freeze"] == [entry["action"] for entry in client.pages("/v1/audit", limit=1)]
    home.HomeLock(settings).release()
    Store.open(settings.store_path).close()


def test_an_error_gives_the_home_back(settings: Settings, spool_dir_of: Callable[[Settings], None]) -> None:
    """Whatever the caller raises, lock and store are free afterwards; also after a store that can't be had."""
    spool_dir_of(settings)
    with pytest.raises(ZeroDivisionError), sidecar_or_home(settings):
        raise ZeroDivisionError
    settings.store_path.write_bytes(b"no store" * 4096)
    with pytest.raises(StoreError), sidecar_or_home(settings):
        raise AssertionError("it must not come so far")
    home.HomeLock(settings).release()


def test_a_home_that_is_none_is_not_made(settings: Settings) -> None:
    """Nothing is made where nothing was recorded, unless the caller asks for it."""
    with pytest.raises(TrimtabError, match="holds no recording"), sidecar_or_home(settings):
        raise AssertionError("it must not come so far")
    assert not settings.home.exists()
    with sidecar_or_home(settings, makes_home=True) as client:
        assert client.get("/v1/policy")["issued_ns"] <= time.time_ns()
    assert settings.store_path.exists()


def test_looking_publishes_nothing(settings: Settings, spool_dir_of: Callable[[Settings], None]) -> None:
    """A read on the home itself leaves the published file as it is, even where there is none."""
    spool_dir_of(settings)
    with sidecar_or_home(settings) as client:
        assert [] == list(client.pages("/v1/recommendations"))
        client.get("/v1/policy")
    assert not settings.policy_path.exists()


@pytest.fixture
def spool_dir_of() -> Callable[[Settings], None]:
    """Makes a home in which an agent has been."""

    def make(settings: Settings) -> None:
        home.prepare(settings.home)
        settings.spool_dir.mkdir()

    return make

"""Publishing: the file is whole, private and current; freezing waits for nobody; who waits is woken."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Control, Unfinished
from trimtab_tuner.control.change import Change
from trimtab_tuner.control.document import terms
from trimtab_tuner.reads import fetch

ALICE = Actor("alice", "cli")
SECOND = 10**9
needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")


class Clock:
    """Stands still until it is set."""

    now_ns = 1_795_262_400 * SECOND

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store."""
    with Store.open(settings.store_path) as opened:
        yield opened


@pytest.fixture
def control(store: Store, settings: Settings) -> Control:
    """A control of it whose file is written."""
    made = Control(store, settings)
    made.refresh()
    return made


def put(control: Control, value: int = 1) -> None:
    """Decide something."""
    rule = {"rule_id": "mine", "knob": "max_retries", "value": value}
    control.put_rule(rule, seen=control.published().version, actor=ALICE)


def read(settings: Settings) -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = json.loads(settings.policy_path.read_bytes())
    return found


def audit(store: Store) -> list[tuple[str, str]]:
    """Who did what."""
    with closing(store.cursor()) as con:
        return con.execute("SELECT actor, action FROM audit ORDER BY audit_id").fetchall()


def until(said: Callable[[], object]) -> None:
    """Wait until ``said`` holds."""
    end = time.monotonic() + 30
    while not said():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_the_file_is_private_and_alone(store: Store, settings: Settings) -> None:
    """Whatever the umask, only this user reads and writes it, and nothing else is left in the home."""
    mask = os.umask(0)
    try:
        control = Control(store, settings)
        control.refresh()
        put(control)
    finally:
        os.umask(mask)
    assert 0o600 == stat.S_IMODE(settings.policy_path.stat().st_mode)
    assert ["policy.json", "trimtab.duckdb", "trimtab.duckdb.wal"] == sorted(os.listdir(settings.home))
    assert control.published().text == settings.policy_path.read_bytes()


def test_the_file_is_replaced_and_never_written_over(control: Control, settings: Settings) -> None:
    """Who has the old file open goes on reading the old document whole."""
    with settings.policy_path.open("rb") as old:
        put(control)
        assert 1 == json.loads(old.read())["version"]
    assert 2 == read(settings)["version"]


@pytest.mark.parametrize("harm", ["remove", "cut", "chmod", "link", "pipe"])
def test_a_harmed_file_is_made_anew(control: Control, settings: Settings, harm: str) -> None:
    """A file that is gone, changed, opened to others or no file any more is written again, without opening it."""
    put(control)
    path = settings.policy_path
    before = path.read_bytes()
    if harm == "cut":
        path.write_bytes(before[:20])
    elif harm == "chmod":
        path.chmod(0o666)
    else:
        path.unlink()
        _ = path.symlink_to("/etc/passwd") if harm == "link" else os.mkfifo(path) if harm == "pipe" else None
    control.refresh()
    assert (before, 0o600) == (path.read_bytes(), stat.S_IMODE(path.lstat().st_mode))
    assert stat.S_ISREG(path.lstat().st_mode)


def test_a_quarter_of_its_lifetime_makes_it_new(store: Store, settings: Settings) -> None:
    """The same version is issued again in time, with another ETag and no new row; before that it is left alone."""
    clock = Clock()
    control = Control(store, replace(settings, policy_lifetime_s=400), clock=clock)
    control.refresh()
    first, inode = control.published(), settings.policy_path.stat().st_ino
    clock.now_ns += 99 * SECOND
    control.refresh()
    assert (first, inode) == (control.published(), settings.policy_path.stat().st_ino)
    clock.now_ns += SECOND
    control.refresh()
    again = control.published()
    assert (first.version, clock.now_ns, 400) == (again.version, again.issued_ns, again.document["lifetime_s"])
    assert f'"1-{clock.now_ns}"' == again.etag != first.etag
    assert clock.now_ns == read(settings)["issued_ns"]
    with closing(store.cursor()) as con:
        assert [(1,)] == con.execute("SELECT count(*) FROM policy_versions").fetchall()


def test_a_clock_that_was_put_back_leaves_no_policy_from_the_future(store: Store, settings: Settings) -> None:
    """Issued by a clock that was ahead, the policy is issued again by the right time at the next look."""
    clock = Clock()
    control = Control(store, settings, clock=clock)
    clock.now_ns -= 3600 * SECOND
    control.refresh()
    assert clock.now_ns == parse(settings.policy_path.read_bytes(), clock.now_ns).issued_ns


def test_settings_of_today_hold_for_a_policy_of_yesterday(settings: Settings) -> None:
    """Lifetime and caps are those of the running sidecar, also for a version that an earlier one made."""
    with Store.open(settings.store_path) as store:
        put(Control(store, settings))
    stricter = replace(settings, policy_lifetime_s=7, steer_max_retries=1)
    with Store.open(settings.store_path) as store:
        control = Control(store, stricter)
        control.refresh()
    assert (2, 7, 1, 1) == (
        read(settings)["version"],
        read(settings)["lifetime_s"],
        read(settings)["guardrails"]["max_retries"],
        len(read(settings)["rules"]),
    )


def test_what_was_committed_and_not_published_is_published(control: Control, store: Store, settings: Settings) -> None:
    """A version whose writer got no further than the commit is in the file after the next look."""
    with store.transaction() as con:
        change = Change(con, ALICE, terms(settings), now_ns=time.time_ns())
        change.publish("by hand", is_frozen=True)
    assert 1 == read(settings)["version"]
    control.refresh()
    assert (2, True) == (read(settings)["version"], read(settings)["frozen"])


@needs_full_device
def test_a_full_disk_is_said_and_mended(control: Control, store: Store, settings: Settings) -> None:
    """A decision whose file can't be written is stored, says so, and is published as soon as there is space."""
    (settings.home / ".policy.json.new").symlink_to("/dev/full")
    with pytest.raises(
        Unfinished, match=r"^The decision is stored, but .*policy\.json could not be .*No space.*do not"
    ):
        put(control)
    assert (2, 1) == (control.published().version, read(settings)["version"])
    assert [("alice", "put_rule")] == audit(store)
    assert not (settings.home / ".policy.json.new").is_symlink()
    control.refresh()
    assert control.published().text == settings.policy_path.read_bytes()


def test_freezing_without_a_way_to_write_takes_the_file_away(
    control: Control, store: Store, settings: Settings
) -> None:
    """Where the frozen file can't be written there is none, which stops steering too; later it is written."""
    put(control)
    in_the_way = settings.home / ".policy.json.new" / "folder"
    in_the_way.mkdir(parents=True)
    assert control.freeze(ALICE).is_frozen
    assert not settings.policy_path.exists()
    assert [("alice", "put_rule"), ("alice", "freeze")] == audit(store)
    with pytest.raises(OSError, match="directory"):
        control.refresh()
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    control.refresh()
    assert (3, True) == (read(settings)["version"], read(settings)["frozen"])


def test_freezing_waits_for_no_writer(control: Control, store: Store, settings: Settings) -> None:
    """While something else holds the store for long, the file is frozen already, and stays so until all is stored."""
    put(control)
    with store.writing():
        freezing = threading.Thread(target=control.freeze, args=(ALICE,))
        freezing.start()
        until(lambda: read(settings)["frozen"])
        assert (2, True) == (control.published().version, control.published().is_frozen)
        put(control, 3)
        assert (3, True) == (read(settings)["version"], read(settings)["frozen"])
        assert freezing.is_alive()
    freezing.join()
    assert (4, True) == (read(settings)["version"], read(settings)["frozen"])
    assert ("alice", "freeze") == audit(store)[-1]
    control.unfreeze(ALICE, seen=4)
    assert (5, False) == (read(settings)["version"], read(settings)["frozen"])


def test_a_freeze_that_can_not_be_stored_holds(control: Control, store: Store, settings: Settings) -> None:
    """With a store that fails, steering is stopped, the caller is told, and it is stored once the store works."""
    put(control)
    with store.transaction() as con:
        con.execute("ALTER TABLE audit RENAME TO hidden")
    with pytest.raises(Unfinished, match=r"^Steering is stopped, but .*trimtab\.duckdb could not take it: .*audit"):
        control.freeze(ALICE, "alarm")
    for _ in range(2):
        with pytest.raises(Unfinished):
            control.refresh()
        assert (2, True) == (read(settings)["version"], read(settings)["frozen"])
    with store.transaction() as con:
        con.execute("ALTER TABLE hidden RENAME TO audit")
    control.refresh()
    assert (3, True) == (read(settings)["version"], read(settings)["frozen"])
    assert ("alice", "freeze") == audit(store)[-1]
    assert not control.unfreeze(ALICE, seen=3).is_frozen


def test_a_freeze_between_file_and_store_is_completed(settings: Settings) -> None:
    """A sidecar that was killed after the file said frozen and before the store did starts frozen, and says why."""
    with Store.open(settings.store_path) as store:
        control = Control(store, settings)
        put(control)
        control._publisher.halt(time.time_ns())
    with Store.open(settings.store_path) as store:
        again = Control(store, settings)
        assert (3, True) == (again.published().version, again.published().is_frozen)
        (row,) = again.events(1)
        assert ("sidecar", "freeze") == (row["actor"], row["action"])
        assert "the policy file said frozen" in row["why"]


def test_a_freeze_past_a_sidecar_that_hung_is_kept(control: Control, store: Store, settings: Settings) -> None:
    """A file that somebody else froze stays frozen when the sidecar comes to itself, which is in the audit."""
    put(control)
    by_hand = settings.policy_path.with_suffix(".new")
    by_hand.write_text(json.dumps(read(settings) | {"frozen": True}))
    by_hand.chmod(0o600)
    by_hand.replace(settings.policy_path)
    control.refresh()
    assert (True, 3) == (read(settings)["frozen"], read(settings)["version"])
    assert ("sidecar", "freeze") == audit(store)[-1]
    control.refresh()
    assert 2 == len(audit(store))
    assert not control.unfreeze(ALICE, seen=3).is_frozen


@pytest.mark.parametrize("change", [{"version": 1}, {"frozen": False}, {"frozen": "true"}])
def test_other_files_freeze_nothing(settings: Settings, change: dict[str, Any]) -> None:
    """A file of another version, one that is not frozen, and one that no agent would take are just written over."""
    with Store.open(settings.store_path) as store:
        control = Control(store, settings)
        put(control)
    document = read(settings) | {"frozen": True} | change
    settings.policy_path.write_text(json.dumps(document))
    with Store.open(settings.store_path) as store:
        again = Control(store, settings)
        again.refresh()
    assert (2, False) == (read(settings)["version"], read(settings)["frozen"])


def test_waiting_ends_with_the_news(control: Control) -> None:
    """Who waits for another version or another issue gets it when it is decided; who lags gets it at once."""
    first = control.published()
    assert first == control.wait(0, 30)
    found = []
    waiters = [
        threading.Thread(target=lambda known=known: found.append(control.wait(known, 30)))
        for known in (first.version, first.etag)
    ]
    for waiter in waiters:
        waiter.start()
    put(control)
    for waiter in waiters:
        waiter.join(30)
    assert [control.published()] * 2 == found


def test_only_an_etag_waits_for_the_next_issue(store: Store, settings: Settings) -> None:
    """The same version issued again wakes who knows the issue, and not who knows the version."""
    clock = Clock()
    control = Control(store, settings, clock=clock)
    first = control.published()
    clock.now_ns += 3600 * SECOND
    control.refresh()
    assert first.etag != control.wait(first.etag, 30).etag
    begun = time.monotonic()
    assert first.version == control.wait(first.version, 0.05).version
    assert time.monotonic() - begun >= 0.05


def test_events_come_as_they_happen(control: Control) -> None:
    """Who waits for the audit gets the next row when it is written; who lags gets what they missed, in order."""
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.extend(control.events(0, 30)))
    waiter.start()
    put(control)
    waiter.join(30)
    put(control)
    assert [1] == [row["audit_id"] for row in found]
    assert [1, 2] == [row["audit_id"] for row in control.events(0, 30)]
    assert [] == control.events(2, 0)


def test_closing_keeps_nobody_waiting(control: Control) -> None:
    """When the sidecar stops, who waits goes at once with what there is."""
    waiters = [
        threading.Thread(target=control.wait, args=(1, 60)),
        threading.Thread(target=control.events, args=(0, 60)),
    ]
    for waiter in waiters:
        waiter.start()
    control.close()
    for waiter in waiters:
        waiter.join(30)
        assert not waiter.is_alive()
    assert 1 == control.wait(1, 60).version


def test_listeners_hear_of_everything(store: Store, settings: Settings) -> None:
    """A listener is called after decisions, after freezing, and when the policy is issued again."""
    clock = Clock()
    control = Control(store, settings, clock=clock)
    heard: list[int] = []
    control.listen(lambda: heard.append(control.published().version))
    put(control)
    assert 2 == heard[-1]
    control.freeze(ALICE)
    assert 3 == heard[-1]
    before = len(heard)
    clock.now_ns += 3600 * SECOND
    control.refresh()
    assert len(heard) > before


def test_two_controls_see_each_other(control: Control, store: Store, settings: Settings) -> None:
    """Controls over one store publish together: what one decides, the other's readers have."""
    other = Control(store, settings)
    put(other)
    assert 2 == control.published().version == control.wait(1, 30).version
    assert [1] == [row["audit_id"] for row in control.events(0, 30)]
    with closing(store.cursor()) as con:
        assert 2 == len(fetch(con, "SELECT version FROM policy_versions"))

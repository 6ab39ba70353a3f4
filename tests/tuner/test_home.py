"""The home: made privately, served by one sidecar, and honest about who that is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab_tracer.errors import SidecarError
from trimtab_tracer.settings import Settings
from trimtab_tuner import home


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_private_and_ignored_by_git(settings: Settings) -> None:
    """The folder is made with mode 0700 and keeps itself out of version control."""
    home.prepare(settings.home)
    assert mode(settings.home) == 0o700
    assert (settings.home / ".gitignore").read_text().endswith("\n*\n")


def test_a_home_that_is_there_is_left_as_it_is(settings: Settings) -> None:
    """A home of the user's own making keeps its mode and its files."""
    settings.home.mkdir(mode=0o750)
    settings.home.chmod(0o750)
    (settings.home / ".gitignore").write_text("mine\n")
    home.prepare(settings.home)
    assert mode(settings.home) == 0o750
    assert sorted(os.listdir(settings.home)) == [".gitignore"]
    assert (settings.home / ".gitignore").read_text() == "mine\n"


def test_a_home_that_is_only_ours_is_closed(settings: Settings) -> None:
    """A home that was left open, with nothing in it but what trimtab writes, is for this user only afterwards."""
    settings.home.mkdir(mode=0o755)
    (settings.home / "spool").mkdir()
    settings.store_path.touch()
    home.prepare(settings.home)
    assert mode(settings.home) == 0o700


def test_the_token_is_made_once(settings: Settings) -> None:
    """A token is generated with mode 0600, kept as long as it is there, and never blank."""
    home.prepare(settings.home)
    first = home.token(settings)
    assert len(first) >= 43
    assert mode(settings.token_path) == 0o600
    settings.token_path.chmod(0o644)
    assert home.token(settings) == first
    assert mode(settings.token_path) == 0o600
    settings.token_path.write_text("\n")
    assert home.token(settings) not in ("", first)


def test_every_secret_is_its_own_and_private(settings: Settings) -> None:
    """The tokens that write and read and the key for policies differ, are readable by this user only, and stay."""
    home.prepare(settings.home)
    made = [home.token(settings), home.read_only_token(settings), home.policy_key(settings)]
    assert 3 == len(set(made))
    paths = [settings.token_path, settings.home / "token.read", settings.policy_key_path]
    assert [0o600] * 3 == [mode(path) for path in paths]
    assert made == [path.read_text().strip() for path in paths]
    assert made == [home.token(settings), home.read_only_token(settings), home.policy_key(settings)]


def test_a_home_with_all_that_is_ours_is_closed(settings: Settings) -> None:
    """Secrets, policy and what a killed process left of them count as ours: such a home is closed to others."""
    settings.home.mkdir(mode=0o755)
    ours = ("policy.json", "policy.key", ".policy.json.new", ".token.read.new", "handover.sock")
    for name in ("spool", "token.read", *ours):
        (settings.home / name).touch()
    home.prepare(settings.home)
    assert mode(settings.home) == 0o700


def test_a_file_is_replaced_or_left(settings: Settings) -> None:
    """What can't be written whole leaves the old file and nothing beside it; a dead process's rest is written over."""
    home.prepare(settings.home)
    path = settings.home / "policy.json"
    (settings.home / ".policy.json.new").write_text("half")
    home.replace_file(path, b"whole")
    assert (b"whole", 0o600) == (path.read_bytes(), mode(path))
    if Path("/dev/full").exists():
        (settings.home / ".policy.json.new").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space"):
            home.replace_file(path, b"more")
    assert b"whole" == path.read_bytes()
    assert [".gitignore", "policy.json"] == sorted(os.listdir(settings.home))


def test_the_note_may_name_a_dashboard(settings: Settings) -> None:
    """A note tells where the dashboard is; one of an earlier version, which does not, is read too."""
    home.prepare(settings.home)
    note = home.Note(os.getpid(), "http://127.0.0.1:4319", 1, "0.1.0", "http://127.0.0.1:4320")
    home.write_note(settings, note)
    assert note == home.read_note(settings)
    text = json.dumps({"pid": os.getpid(), "url": "u", "started_ns": 1, "version": "0.1.0"})
    settings.sidecar_path.write_text(text)
    assert home.Note(os.getpid(), "u", 1, "0.1.0") == home.read_note(settings)


def test_a_home_that_is_a_file_is_named(settings: Settings) -> None:
    """A file in the home's place, or above it, is one sentence and stays untouched."""
    settings.home.write_text("mine")
    for place in (settings.home, settings.home / "below"):
        with pytest.raises(SidecarError, match=r"is no folder; .*TRIMTAB_HOME"):
            home.prepare(place)
    assert settings.home.read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even root can write")
def test_a_home_that_cannot_be_written_is_named() -> None:
    """A place where nothing can be made is one sentence."""
    with pytest.raises(SidecarError, match=r"The home /proc/trimtab can't be written: .*TRIMTAB_HOME"):
        home.prepare(Path("/proc/trimtab"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_no_matter_of_permissions(settings: Settings) -> None:
    """Where nothing more fits into the home, that is said, and not that it is forbidden."""
    settings.home.mkdir()
    (settings.home / ".gitignore").symlink_to("/dev/full")
    with pytest.raises(SidecarError, match=r"There is no space left on .*nothing in the spool is lost\.$"):
        home.prepare(settings.home)


def test_an_empty_ignore_file_is_filled(settings: Settings) -> None:
    """What a full disk left of ``.gitignore`` is written again once there is space."""
    settings.home.mkdir()
    (settings.home / ".gitignore").touch()
    home.prepare(settings.home)
    assert (settings.home / ".gitignore").read_text().endswith("\n*\n")


def test_a_second_sidecar_is_told_the_first_ones_address(settings: Settings) -> None:
    """While one process holds the home, another is refused with the address from the note."""
    home.prepare(settings.home)
    lock = home.HomeLock(settings)
    home.write_note(settings, home.Note(os.getpid(), "http://127.0.0.1:4319", 1, "0.1.0"))
    with pytest.raises(SidecarError, match=r"already serves .*http://127\.0\.0\.1:4319 \(process \d+\)"):
        home.HomeLock(settings)
    lock.release()
    home.HomeLock(settings).release()


def test_the_lock_goes_with_its_process(settings: Settings) -> None:
    """A killed holder frees the home, and its note counts for nothing."""
    home.prepare(settings.home)
    code = """
import os, sys
from trimtab_tracer.settings import Settings
from trimtab_tuner import home
settings = Settings.resolve(home=sys.argv[1])
lock = home.HomeLock(settings)
home.write_note(settings, home.Note(os.getpid(), "http://127.0.0.1:1", 1, "0.1.0"))
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, settings.home], check=False)
    assert killed.returncode == -9
    assert settings.sidecar_path.exists()
    assert home.read_note(settings) is None
    home.HomeLock(settings).release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "url": 1, "started_ns": 1, "version": 1}'])
def test_a_broken_note_is_no_note(settings: Settings, text: str) -> None:
    """Whatever a crash or a hand left in the note, it means that nobody is known to serve."""
    home.prepare(settings.home)
    settings.sidecar_path.write_text(text)
    assert home.read_note(settings) is None
    assert home.read_note(replace(settings, home=settings.home / "none")) is None

"""The harness version: the commit of the working directory, asked without running what the repository says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trimtab_tracer.harness import version_of


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, whose configuration names a command to watch its files."""
    hook = tmp_path / "watch"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    where = tmp_path / "repository"
    where.mkdir()
    (where / "agent.py").write_text("1\n")
    for arguments in (
        ["init", "-q"],
        ["add", "agent.py"],
        ["-c", "user.name=n", "-c", "user.email=e@x.test", "commit", "-qm", "one"],
        ["config", "core.fsmonitor", str(hook)],
    ):
        subprocess.run(["git", "-C", str(where), *arguments], check=True)
    (tmp_path / "ran").unlink(missing_ok=True)
    return where


def test_version_is_the_commit_and_a_mark(repository: Path) -> None:
    """A clean tree is its commit, a changed one is marked, a folder outside of git has none."""
    clean = version_of(repository)
    assert clean is not None
    assert clean.startswith("git:")
    (repository / "agent.py").write_text("2\n")
    assert f"{clean}+dirty" == version_of(repository)
    assert version_of(repository.parent) is None


def test_the_repositorys_commands_are_not_run(repository: Path) -> None:
    """Asking for the version does not run the command that the repository's configuration names."""
    version_of(repository)
    assert not (repository.parent / "ran").exists()
    subprocess.run(["git", "-C", str(repository), "status"], check=True, capture_output=True)
    assert (repository.parent / "ran").exists()

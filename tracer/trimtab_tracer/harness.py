"""Version of the code around the model, where the user names none: its git commit and a dirty mark.

Asked once per process, in the background thread, and not at all where the user names a version. The repository is the
agent's working directory, which need not be trusted: the commands that its configuration names for hooks and for
watching files are not run, and submodules are not looked into. No git, no repository, no answer in time: no version.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

GIT_TIMEOUT_S = 5.0
"""Longest that ``git status`` may take."""

_NO_COMMANDS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


def version_of(directory: Path) -> str | None:
    """``git:<commit>`` with ``+dirty`` where tracked files differ from it; None outside a repository."""
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return None
    commit = _git(directory, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    changes = _git(directory, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    return f"git:{commit}{'+dirty' if changes else ''}"


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), "--no-optional-locks", *_NO_COMMANDS, *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

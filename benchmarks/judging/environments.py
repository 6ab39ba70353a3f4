"""Makes the virtual environments that agents run in, on demand.

In: ``environments/<name>.txt``, exact versions of every package, and a folder. Out: the environment's Python. An
environment is made anew when its file changed since; a half-made one is never used. Apart from the rest because it is
the only part that needs a package index, and so runs before the network is shut off. The tracer is not installed:
agents find it in this checkout (:mod:`.running`), so that several checkouts can share a folder of environments.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

STAMP = "trimtab-environment"
"""File in an environment: what it was made from."""


def prepare(constraints: Path, folder: Path) -> Path:
    """The Python of the environment that ``constraints`` describes, made below ``folder`` if it is not there.

    Raises:
        SystemExit: pip could not install it; its output is shown.
    """
    home = folder.resolve() / constraints.stem
    python = home / "bin" / "python"
    made_from = hashlib.sha256(constraints.read_bytes() + sys.version.encode()).hexdigest()
    stamp = home / STAMP
    if stamp.is_file() and stamp.read_text() == made_from:
        return python
    print(f"making the environment {home}", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    # Every version is fixed, so there is nothing to resolve.
    _pip(python, "install", "--no-deps", "--requirement", str(constraints))
    stamp.write_text(made_from)
    return python


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")

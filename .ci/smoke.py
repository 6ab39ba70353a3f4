"""Checks an installed wheel from outside the source tree: ``python -I smoke.py base|demo``.

``base``: the bare install has none of the heavy packages, its light commands work, every other command says which
extra it needs, and the one line does no harm in an environment without any HTTP client.
``demo``: with the extra, the demo runs, blames lines of the installed agent, and leaves no process behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

BIN = Path(sys.executable).parent
HEAVY = {"duckdb", "polars", "river", "fastapi", "streamlit", "pyarrow", "numpy", "openai", "httpx"}
EXTRA_OF = dict.fromkeys(("up", "provider", "import", "report"), "sidecar") | {"demo": "demo"}


def trimtab(*arguments: str, home: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the installed entry point in an otherwise clean environment."""
    return subprocess.run(
        [BIN / "trimtab", *arguments],
        cwd=home,
        env={k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")} | {"TRIMTAB_HOME": f"{home}/home"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def check(fact: str, holds: object, shown: object = "") -> None:
    """Print the fact, or stop with what was seen instead."""
    if not holds:
        sys.exit(f"FAILED: {fact}\n{shown}")
    print(f"ok: {fact}")


def base(home: str) -> None:
    """The bare install."""
    names = {(d.metadata["Name"] or "").lower() for d in metadata.distributions()}
    check("the base install brings none of " + ", ".join(sorted(HEAVY)), not names & HEAVY, names & HEAVY)
    version = metadata.version("trimtab")
    shown = trimtab("--version", home=home)
    check("trimtab --version tells the version", shown.returncode == 0 and version in shown.stdout, shown)
    shown = trimtab("config", home=home)
    check("trimtab config prints the settings", shown.returncode == 0 and f"{home}/home" in shown.stdout, shown)
    shown = trimtab("--help", home=home)
    check("trimtab --help lists every command", all(name in shown.stdout for name in EXTRA_OF), shown)
    for name, extra in EXTRA_OF.items():
        arguments = [name, "x"] if name == "import" else [name]
        shown = trimtab(*arguments, home=home)
        said = shown.returncode == 1 and f"trimtab[{extra}]" in shown.stderr and "Traceback" not in shown.stderr
        check(f"trimtab {name} names the extra it needs", said, shown)
    code = (
        "import sys, trimtab; trimtab.instrument(); trimtab.uninstrument(); print(trimtab.__file__[: len(sys.prefix)])"
    )
    shown = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code],
        env=os.environ | {"TRIMTAB_HOME": f"{home}/agent"},
        capture_output=True,
        text=True,
        check=False,
    )
    as_expected = (shown.stdout, shown.stderr) == (f"{sys.prefix}\n", "")
    check("the one line works from the wheel and without any HTTP client", as_expected, shown)


def demo(home: str) -> None:
    """The install with the extra."""
    shown = trimtab("demo", "--json", home=home, timeout_s=120)
    check("trimtab demo ends well", shown.returncode == 0, shown.stdout + shown.stderr)
    result = json.loads(shown.stdout)
    places = [finding["place"] for finding in result["report"]["findings"] if finding["place"]]
    check("the demo finds faults and their lines", len(places) >= 3, result["report"]["findings"])
    check("they are pinned to the agent's file", {p["file"] for p in places} == {"support_desk.py"}, places)
    check("the report was written", Path(result["html"]).stat().st_size > 10_000)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        {"base": base, "demo": demo}[sys.argv[1]](os.path.realpath(folder))

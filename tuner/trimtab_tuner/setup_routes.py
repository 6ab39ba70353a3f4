"""What is set up: versions, sizes, settings, what this environment holds, and who was heard of.

In: the home and the process that serves it. Out: ``GET /v1/setup``. Apart from :mod:`.api` because it looks at files
and packages, which takes longer than a question to the store; the packages of an environment are read once.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import duckdb
from fastapi import APIRouter, Query
from pydantic import Field

from trimtab.doctor import checks, environment
from trimtab_tracer import __version__
from trimtab_tracer.prices import PriceList
from trimtab_tracer.settings import TABLE, Settings, provenance

from . import models, paging, reads
from .routing import Backend, router

SHOWN: Final = (
    *("content", "spool_max_bytes", "steering", "tune_mode", "policy_lifetime_s", "steer_max_usd_per_day"),
    *("tune_max_share", "tune_max_usd_per_day", "collect_interval_s", "analyze_interval_s"),
)
"""Settings that say what is kept and what may be done; none of them holds a secret."""


class Package(models.Answer):
    """A package that could call a model, and whether such calls are seen."""

    package: str
    version: str
    kind: str
    transport: str
    verdict: str
    advice: str


class CheckOfHome(models.Answer):
    """What one look at the home found."""

    name: str
    state: str = Field(description="`ok`, `note` or `problem`")
    text: str


class Setting(models.Answer):
    """A setting, its value, and where that came from."""

    name: str
    value: Any
    source: str
    meaning: str


class Agent(models.Answer):
    """An agent that wrote here."""

    service: str
    processes: int
    runs: int
    last_ns: int
    python: str
    trimtab: str
    content_mode: str
    script: str


class Size(models.Answer):
    """What a part of the home takes on disk."""

    name: str
    size_bytes: int
    files: int


class Setup(models.Answer):
    """What is set up."""

    home: str
    versions: dict[str, str]
    migrations: int = Field(description="Of the store")
    settings: list[Setting]
    sizes: list[Size]
    checks: list[CheckOfHome]
    packages: list[Package] = Field(description="Of the environment that the sidecar runs in")
    agents: list[Agent] = Field(description="Those heard of last first, at most 200")


def setup(backend: Backend) -> APIRouter:
    """The route."""
    api = router()

    @api.get("/setup")
    def read(_: Annotated[paging.NoParameters, Query()]) -> Setup:
        """Versions, sizes, settings, the packages of the sidecar's environment, and the agents that wrote here."""
        with backend.snapshot() as con:
            agents = reads.fetch(con, reads.statement("setup_agents"))
            ((migrations,),) = con.execute("SELECT count(*) FROM migrations").fetchall()
        settings = backend.settings
        return Setup(
            home=str(settings.home),
            versions=_versions(settings),
            migrations=migrations,
            settings=list(_settings(settings)),
            sizes=list(_sizes(settings)),
            checks=[CheckOfHome.model_validate(one, from_attributes=True) for one in _checks(settings)],
            packages=list(_packages()),
            agents=[Agent.model_validate(row) for row in agents],
        )

    return api


def _versions(settings: Settings) -> dict[str, str]:
    identity = PriceList(settings.prices).identity.split(" [", 1)[0]
    own = f" and {len(settings.prices)} of your own" if settings.prices else ""
    return {
        "trimtab": __version__,
        "Python": platform.python_version(),
        "DuckDB": duckdb.__version__,
        "price list": identity + own,
    }


def _settings(settings: Settings) -> Iterator[Setting]:
    meanings = {row.name: row.sentence for row in TABLE}
    found = provenance(home=str(settings.home))
    for name in SHOWN:  # the value is the running sidecar's; where it came from is read anew
        value = getattr(settings, name)
        source = found[name].source if found[name].value == value else "changed since the sidecar started"
        yield Setting(name=name, value=value, source=source, meaning=meanings[name])


def _checks(settings: Settings) -> list[checks.Check]:
    return [one for one in checks.run_checks({}, str(settings.home)) if one.name != "settings"]


@cache
def _packages() -> tuple[Package, ...]:
    found = environment.rows(environment.read(None))
    return tuple(Package.model_validate(row, from_attributes=True) for row in found)


def _sizes(settings: Settings) -> Iterator[Size]:
    for name, path in (
        ("store", settings.store_path),
        ("texts of calls", settings.content_dir),
        ("spool, not collected yet", settings.spool_dir),
    ):
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        yield Size(name=name, size_bytes=sum(_size(each) for each in files), files=len(files))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # collected meanwhile
        return 0

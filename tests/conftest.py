"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether a fact holds.
settings.register_profile("trimtab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trimtab")


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients trust one authority, here and in the programs that are started: to load those that a system trusts takes
    each of them 30 ms, and nothing here is asked over TLS."""
    import certifi

    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----")
    path = tmp_path_factory.mktemp("certificate") / "one.pem"
    path.write_text(first + end, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        patch.setattr(certifi, "where", lambda: str(path))  # for clients that are told to trust no variable
        yield


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is as new, closed: only to be copied."""
    from trimtab_tracer.store import Store

    path = tmp_path_factory.mktemp("migrated") / "trimtab.duckdb"
    Store.open(path).close()
    return path


@pytest.fixture(autouse=True)
def new_stores(migrated: Path) -> Iterator[None]:
    """New stores are copies of one that was migrated once, which takes half as long as to make them. Where making them
    is what a module is about, it has a fixture of this name that does nothing."""
    from trimtab_tracer.store import Store

    opened = Store.open

    def open_copy(path: Path, read_only: bool = False) -> Store:
        path = Path(path).absolute()
        if not read_only and path.parent.is_dir():
            with suppress(OSError), path.open("xb") as new:  # what is there already stays
                new.write(migrated.read_bytes())
        return opened(path, read_only)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "open", staticmethod(open_copy))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real traces; tests that need it skip where ``TRIMTAB_REAL_DATA`` is not set."""
    folder = os.environ.get("TRIMTAB_REAL_DATA")
    if not folder:
        pytest.skip("needs real traces: set TRIMTAB_REAL_DATA to their folder")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"TRIMTAB_REAL_DATA is {folder!r}, which is no folder")
    return path.resolve()

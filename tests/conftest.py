"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether a fact holds.
settings.register_profile("trimtab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trimtab")


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

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.settings import Settings

OWN = '[prices."scripted-model"]\ninput = 2\noutput = 8\n'


def _main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_prices_that_the_user_adds_later_count(settings: Settings, spool: Any, capsys: Any, some_run: Any) -> None:
    """What was recorded without a price gets one from the settings, and a second time nothing changes."""
    for record in some_run(1):
        spool.write(record)
    spool.close()
    code, before, _ = _main(capsys, "reprice", "--json", "--home", str(settings.home))
    assert code == 0
    first = json.loads(before)
    (settings.home / "trimtab.toml").write_text(OWN.replace("scripted-model", "gpt-4o-mini"))
    again = json.loads(_main(capsys, "reprice", "--json", "--home", str(settings.home))[1])
    assert first["changed"] == 0
    assert again["changed"] > 0
    assert "0 with another cost than before" in _main(capsys, "reprice", "--home", str(settings.home))[1]


def test_a_home_without_a_recording_is_named(settings: Settings, capsys: Any) -> None:
    """Nothing to price is said with the home that was looked at."""
    code, _, error = _main(capsys, "reprice", "--home", str(settings.home))
    assert code != 0
    assert f"There is nothing to price: {settings.home}" in error


def test_a_running_sidecar_keeps_its_store(sidecar: Any, settings: Settings, capsys: Any) -> None:
    """While a sidecar serves the home, it is named and nothing is done."""
    code, _, error = _main(capsys, "reprice", "--home", str(settings.home))
    assert code != 0
    assert sidecar.url in error

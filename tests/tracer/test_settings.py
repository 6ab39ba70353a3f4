"""Settings: one table, one order of precedence, and errors that name the place."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_tracer.errors import SettingsError
from trimtab_tracer.settings import TABLE, PriceOverride, Settings, provenance

pytestmark = pytest.mark.usefixtures("nowhere")


def test_the_table_is_the_dataclass() -> None:
    """Every field is a row with its own variable and a sentence; only tables of a settings file have no variable."""
    assert [f.name for f in fields(Settings)] == [row.name for row in TABLE]
    assert [row.name for row in TABLE if row.env is None] == ["prices", "endpoints", "explain"]
    assert all(row.env == f"TRIMTAB_{row.name.upper()}" for row in TABLE if row.env)
    assert all(row.sentence.endswith(".") for row in TABLE)


def test_defaults(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing set, the home is here, the service is the script, and only redacted content is kept."""
    monkeypatch.setattr(sys, "argv", ["/srv/my_agent.py"])
    found = Settings.resolve()
    assert found.home == nowhere / ".trimtab"
    assert (
        found.service,
        found.content,
        found.disabled,
        found.host,
        found.port,
    ) == ("my_agent", "redacted", False, "127.0.0.1", 4319)
    assert {"default"} == {found.source for found in provenance().values()}


def test_every_place_yields_to_the_one_above_it(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument beats variable beats the home's file beats the project's file beats the default."""
    assert Settings.resolve().port == 4319
    (nowhere / "pyproject.toml").write_text("[tool.trimtab]\nport = 1\n")
    assert Settings.resolve().port == 1
    (nowhere / ".trimtab").mkdir()
    (nowhere / ".trimtab" / "trimtab.toml").write_text("port = 2\n")
    assert Settings.resolve().port == 2
    monkeypatch.setenv("TRIMTAB_PORT", "3")
    assert provenance()["port"] == (3, "TRIMTAB_PORT")
    assert provenance(port=4)["port"] == (4, "argument")
    assert Settings.resolve(port=None).port == 3


def test_the_homes_file_is_read_from_the_home_in_force(nowhere: Path) -> None:
    """A home given as an argument brings its own ``trimtab.toml``."""
    (nowhere / "other").mkdir()
    (nowhere / "other" / "trimtab.toml").write_text('content = "off"\n')
    assert Settings.resolve(home="other").content == "off"
    assert Settings.resolve().content == "redacted"


def test_derived_places(nowhere: Path) -> None:
    """Everything trimtab keeps lies in the home, under the published names."""
    found = Settings.resolve(home=nowhere / "h")
    places = (found.spool_dir, found.store_path, found.content_dir, found.token_path, found.policy_path)
    assert [p.name for p in places] == ["spool", "trimtab.duckdb", "content", "token", "policy.json"]
    places = (*places, found.policy_key_path)
    assert places[-1].name == "policy.key"
    assert {nowhere / "h"} == {p.parent for p in (*places, found.sidecar_path)}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TRIMTAB_PORT", "http", "whole number from 0 to 65535"),
        ("TRIMTAB_PORT", "70000", "whole number from 0 to 65535"),
        ("TRIMTAB_CONTENT", "some", "one of off, redacted, full"),
        ("TRIMTAB_DISABLED", "maybe", "1 or 0"),
        ("TRIMTAB_FLUSH_INTERVAL_S", "nan", "seconds from"),
        ("TRIMTAB_HOST", "0.0.0.0", "one of 127.0.0.1, localhost, ::1"),
        ("TRIMTAB_USER_PACKAGES", "acme-agents", "as they are imported"),
        ("TRIMTAB_SPOOL_MAX_BYTES", "1e9", "whole number of at least"),
        ("TRIMTAB_STEERING", "auto", "1 or 0"),
        ("TRIMTAB_POLICY_LIFETIME_S", "604801", "whole number from 1 to 604800"),
        ("TRIMTAB_STEER_MAX_RETRIES", "6", "whole number from 0 to 5"),
        ("TRIMTAB_STEER_MAX_DELAY_S", "61", "seconds from 0 to 60"),
        ("TRIMTAB_STEER_MAX_IN_FLIGHT", "33", "whole number from 0 to 32"),
        ("TRIMTAB_STEER_MAX_TOKENS_PER_HOUR", "20000001", "whole number from 0 to 20000000"),
        ("TRIMTAB_STEER_MAX_USD_PER_DAY", "-1", "USD from 0 to"),
        ("TRIMTAB_POLICY_URL", "http://10.0.0.7:4319", "https://"),
        ("TRIMTAB_POLICY_URL", "http://localhost.evil.example", "https://"),
        ("TRIMTAB_POLICY_URL", "http://127.0.0.1@evil.example", "https://"),
        ("TRIMTAB_POLICY_URL", "https://evil.example?x=1", "https://"),
        ("TRIMTAB_POLICY_URL", "https://evil.example#x", "https://"),
        ("TRIMTAB_POLICY_URL", "https://evil.example:0", "https://"),
        ("TRIMTAB_POLICY_URL", "https://evil.example:http", "https://"),
        ("TRIMTAB_POLICY_URL", "https://[::1", "https://"),
        ("TRIMTAB_POLICY_URL", "https://a\r\nHost: b", "https://"),
        ("TRIMTAB_POLICY_URL", "ftp://evil.example", "https://"),
        ("TRIMTAB_POLICY_URL", "trimtab.example", "https://"),
    ],
)
def test_a_bad_value_is_named_with_its_source(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str
) -> None:
    """A value that can't be used is refused with the place, the value and what was expected."""
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError) as caught:
        Settings.resolve()
    for part in (f"{name}:", repr(text), expected):
        assert part in str(caught.value)


def test_an_unknown_key_names_its_neighbours(nowhere: Path) -> None:
    """A misspelt key in a settings file stops, and the message offers the right one."""
    (nowhere / "pyproject.toml").write_text("[tool.trimtab]\nservise = 'x'\n")
    with pytest.raises(SettingsError, match=r"pyproject\.toml \[tool\.trimtab\]: .*'servise'.*mean 'service'"):
        Settings.resolve()
    with pytest.raises(SettingsError, match="argument: there is no setting 'prot'"):
        Settings.resolve(prot=1)


def test_a_broken_file_is_named(nowhere: Path) -> None:
    """A settings file that is no TOML is refused with its path; a project file that does not speak of us is not."""
    (nowhere / "pyproject.toml").write_text("[project\n")
    Settings.resolve()
    (nowhere / ".trimtab").mkdir()
    (nowhere / ".trimtab" / "trimtab.toml").write_text("port = \n")
    with pytest.raises(SettingsError, match=r"trimtab\.toml: the settings can't be read"):
        Settings.resolve()


def test_the_home_cannot_name_itself(nowhere: Path) -> None:
    """``home`` inside the home's own file would be a riddle, so it is refused."""
    (nowhere / ".trimtab").mkdir()
    (nowhere / ".trimtab" / "trimtab.toml").write_text('home = "elsewhere"\n')
    with pytest.raises(SettingsError, match="TRIMTAB_HOME"):
        Settings.resolve()


def test_prices_are_tables_per_model(nowhere: Path) -> None:
    """Own prices come as one table per model; a misspelt or missing rate is refused."""
    file = nowhere / "pyproject.toml"
    file.write_text('[tool.trimtab.prices."my-model"]\ninput = 0.5\noutput = 2\ncache_read = 0.05\n')
    assert (PriceOverride("my-model", 0.5, 2.0, cache_read=0.05),) == Settings.resolve().prices
    for rates in ("input = 1", "input = 1\noutput = -1", "input = 1\noutput = 2\ncached = 1"):
        file.write_text(f'[tool.trimtab.prices."my-model"]\n{rates}\n')
        with pytest.raises(SettingsError, match="USD per million"):
            Settings.resolve()


def test_packages_are_a_list_or_a_text_with_commas(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own packages come as a list from a file or an argument, and as one text from the environment."""
    assert () == Settings.resolve().user_packages
    (nowhere / "pyproject.toml").write_text('[tool.trimtab]\nuser_packages = ["acme", "corp.agents"]\n')
    assert ("acme", "corp.agents") == Settings.resolve().user_packages
    monkeypatch.setenv("TRIMTAB_USER_PACKAGES", "acme, corp.agents,")
    assert ("acme", "corp.agents") == Settings.resolve().user_packages
    assert ("acme",) == Settings.resolve(user_packages=["acme"]).user_packages


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://trimtab.example", "https://trimtab.example"),
        ("https://trimtab.example:8443/base/", "https://trimtab.example:8443/base"),
        ("http://127.0.0.1:4319/", "http://127.0.0.1:4319"),
        ("http://localhost:4319", "http://localhost:4319"),
        ("http://[::1]:4319", "http://[::1]:4319"),
    ],
)
def test_a_policy_is_read_over_tls_or_from_this_machine(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    """An address may have a port and a path; plain ``http`` is for loopback names only."""
    monkeypatch.setenv("TRIMTAB_POLICY_URL", given)
    assert expected == Settings.resolve().policy_url


def test_the_key_of_the_policy_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks around it go; ``trimtab config``, a refusal and the settings' own text hide it."""
    monkeypatch.setenv("TRIMTAB_POLICY_KEY", " a-key-of-the-sidecar\n")
    assert "a-key-of-the-sidecar" == Settings.resolve().policy_key
    assert ("(hidden)", "TRIMTAB_POLICY_KEY") == provenance()["policy_key"]
    assert "a-key" not in repr(Settings.resolve())
    monkeypatch.setenv("TRIMTAB_POLICY_KEY", "a-short-key")
    with pytest.raises(
        SettingsError, match=r"'\(hidden\)', expected the text of the sidecar's file policy\.key"
    ) as caught:
        Settings.resolve()
    assert "a-short-key" not in str(caught.value)
    monkeypatch.delenv("TRIMTAB_POLICY_KEY")
    assert (None, "default") == provenance()["policy_key"]


def test_a_refused_value_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address with a password in it is refused without showing that."""
    monkeypatch.setenv("TRIMTAB_POLICY_URL", "https://me:hunter2@trimtab.example")
    with pytest.raises(SettingsError, match="REDACTED") as caught:
        Settings.resolve()
    assert "hunter2" not in str(caught.value)


VALUES = st.none() | st.integers() | st.text() | st.floats()


@given(st.sampled_from([row.name for row in TABLE]), VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_argument_resolves_or_is_refused_by_name(name: str, value: object) -> None:
    """Whatever is passed for a setting, the answer is settings, or an error that names it."""
    with suppress(SettingsError):
        Settings.resolve(**{name: value})
        return
    with pytest.raises(SettingsError, match=f"argument: setting '{name}' is "):
        Settings.resolve(**{name: value})

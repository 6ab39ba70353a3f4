"""The setting that names models to fall back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab_tracer.errors import SettingsError
from trimtab_tracer.setting_values import FallbackModels
from trimtab_tracer.settings import Settings


@pytest.fixture
def home(tmp_path: Path, no_variables: None) -> Path:
    """A home to write settings into."""
    return tmp_path


def test_nothing_is_named_by_default(home: Path) -> None:
    """Without a word of a person only models that were seen to answer are proposed."""
    assert () == Settings.resolve(home=home).fallback_models


def test_models_are_named_in_a_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas between them; they stand in for any model."""
    monkeypatch.setenv("TRIMTAB_FALLBACK_MODELS", "house/one, two:7b")
    assert (FallbackModels(None, ("house/one", "two:7b")),) == Settings.resolve(home=home).fallback_models


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('fallback_models = ["a", "b"]', (FallbackModels(None, ("a", "b")),)),
        (
            '[fallback_models]\n"m1" = ["a"]\nm2 = "b, c"',
            (FallbackModels("m1", ("a",)), FallbackModels("m2", ("b", "c"))),
        ),
        ("fallback_models = []", ()),
    ],
)
def test_models_are_named_in_the_homes_file(home: Path, text: str, named: tuple[FallbackModels, ...]) -> None:
    """A list for any model, or a table with one per failing model; a resolved value is one as well."""
    (home / "trimtab.toml").write_text(text)
    assert named == Settings.resolve(home=home).fallback_models
    assert named == Settings.resolve(home=home, fallback_models=named).fallback_models


@pytest.mark.parametrize("text", ["fallback_models = 3", 'fallback_models = ["a", 3]', "[fallback_models]\nm1 = 3"])
def test_anything_else_is_refused(home: Path, text: str) -> None:
    """A number is no model; the message says where and what was expected."""
    (home / "trimtab.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"trimtab\.toml: setting 'fallback_models' is .*list of models"):
        Settings.resolve(home=home)

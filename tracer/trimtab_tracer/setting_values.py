"""How the value of a setting is read, wherever it came from.

In: a text from the environment, a TOML value from a file, or an argument of any type. Out: the typed value,
or :class:`Unusable` with what was expected, which :mod:`.settings` turns into an error that also names the
setting and its source. Apart from the table so that the table stays one screen; imports nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from .shapes import value_class

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that never leave it."""


@value_class
class PriceOverride:
    """A price list entry of the user's own: ``[prices."my-model"]`` in a settings file. USD per million tokens."""

    model: str
    input: float
    output: float
    cache_read: float | None = None
    """None: cached input costs what other input costs."""
    cache_write: float | None = None
    """None: writing the cache costs what other input costs."""
    cache_write_1h: float | None = None
    """None: writing it for an hour costs what other writing costs."""
    reasoning: float | None = None
    """None: reasoning costs what other output costs."""
    input_audio: float | None = None
    """None: audio costs what other input costs."""
    output_audio: float | None = None
    """None: audio costs what other output costs."""


@value_class
class FallbackModels:
    """Models that a person names to ask in place of another one: ``fallback_models`` in a settings file."""

    model: str | None
    """The one that fails; None for any."""
    fallbacks: tuple[str, ...]
    """The first of them that is not the failing one is meant."""


@value_class
class Explainer:
    """A model of the user's that puts findings into words when it is asked to: ``[explain]`` in a settings file."""

    endpoint: str
    """Base address of an OpenAI-compatible API, as ``https://host/v1``."""
    model: str
    key_env: str | None = None
    """Name of the variable that holds the key; None for none."""


@value_class
class Endpoint:
    """Another place to send calls to: ``[endpoints.NAME]`` in a settings file. Policies know its name alone."""

    name: str
    base_url: str
    """As an SDK takes it: ``https://host/v1``."""
    key_env: str | None = None
    """Name of the variable that holds the key when a call is made; None for none."""


class Unusable(ValueError):  # noqa: N818 - says what the value is, and never leaves settings.py
    """A value can't be read; its text says what was expected."""


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise Unusable("a text that is not empty")
    return value


def path(value: object) -> Path:
    """An absolute path; `~` is the home directory, anything relative is below the working directory."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise Unusable("a path")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:  # "~someone" who does not exist
        raise Unusable("a path") from error


def flag(value: object) -> bool:
    """True or False, also as ``1``, ``true``, ``yes``, ``on`` and their opposites."""
    if isinstance(value, bool):
        return value
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if not isinstance(value, str) or value.strip().lower() not in known:
        raise Unusable("1 or 0 (also true, false, yes, no, on, off)")
    return known[value.strip().lower()]


def one_of(*choices: str) -> Callable[[object], str]:
    """A reader that accepts exactly ``choices``."""

    def read(value: object) -> str:
        if value not in choices:
            raise Unusable(f"one of {', '.join(choices)}")
        return str(value)

    return read


def integer(low: int, high: int | None = None) -> Callable[[object], int]:
    """A reader of whole numbers from ``low`` to ``high``, both included."""

    def read(value: object) -> int:
        try:
            number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or number < low or (high is not None and number > high):
            raise Unusable(
                f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
            )
        return number

    return read


def number(low: float, high: float, unit: str) -> Callable[[object], float]:
    """A reader of numbers from ``low`` to ``high``, both included; ``unit`` is what an error calls them."""

    def read(value: object) -> float:
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not low <= number <= high:
            raise Unusable(f"{unit} from {low:g} to {high:g}")
        return number

    return read


def seconds(low: float, high: float) -> Callable[[object], float]:
    """A reader of times in seconds from ``low`` to ``high``, both included."""
    return number(low, high, "seconds")


def sidecar_url(value: object) -> str:
    """Address of a sidecar that a policy is read from; plain ``http`` only where it stays on this machine."""
    expected = f"an address like https://trimtab.example/base; http:// only to {', '.join(LOOPBACK)}"
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise Unusable(expected)
    from urllib.parse import urlsplit  # only where the setting is used

    try:
        url = urlsplit(value)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:  # a port that is none, half an IPv6 address
        raise Unusable(expected) from None
    # A bearer goes along with every request, so it never goes over an open wire.
    is_safe = url.scheme == "https" or url.hostname in LOOPBACK
    if not is_address or not is_safe or "@" in url.netloc or "?" in value or "#" in value:
        raise Unusable(expected)
    return value.rstrip("/")


def webhook_url(value: object) -> str:
    """Address of a webhook; it may have a query, and plain ``http`` only stays on this machine."""
    expected = f"an address like https://hooks.example/T0/B0; http:// only to {', '.join(LOOPBACK)}"
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise Unusable(expected)
    from urllib.parse import urlsplit

    try:
        url = urlsplit(value)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        raise Unusable(expected) from None
    if not is_address or not (url.scheme == "https" or url.hostname in LOOPBACK) or "@" in url.netloc:
        raise Unusable(expected)
    return value


NOTICES = ("new_finding", "rollback", "budget_stop")


def notices(value: object) -> tuple[str, ...]:
    """What a webhook is told of: a list, or one text with commas between them."""
    given = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(name in NOTICES for name in given):
        raise Unusable(f"some of {', '.join(NOTICES)}, with commas")
    return tuple(dict.fromkeys(given))


def key(value: object) -> str:
    """A shared secret; blanks and line ends around it belong to the file it came from."""
    if not isinstance(value, str) or len(value.strip()) < 16 or not value.strip().isascii():
        raise Unusable("the text of the sidecar's file policy.key, 16 ASCII characters at least")
    return value.strip()


def names(value: object) -> tuple[str, ...]:
    """Dotted names of packages or modules: a list, or one text with commas between them."""
    given = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise Unusable("a list of package names, or one text with commas")
    found = tuple(name.strip() for name in given)
    if not all(part.isidentifier() for name in found for part in name.split(".")):
        raise Unusable("names of packages as they are imported, like acme_agents or acme.agents")
    return found


def prices(value: object) -> tuple[PriceOverride, ...]:
    """Price overrides from ``{model: {input, output, …}}`` in USD per million tokens: fields of PriceOverride."""
    known = {f.name for f in fields(PriceOverride)} - {"model"}
    expected = (
        'tables like [prices."my-model"] with input, output and if needed '
        f"{', '.join(sorted(known - {'input', 'output'}))}: USD per million"
    )
    if isinstance(value, tuple) and all(isinstance(p, PriceOverride) for p in value):
        return value
    if not isinstance(value, Mapping):
        raise Unusable(expected)
    out = []
    for model, rates in value.items():
        if not isinstance(rates, Mapping) or not {"input", "output"} <= set(rates) <= known:
            raise Unusable(expected)
        if any(isinstance(r, bool) or not isinstance(r, int | float) or not 0 <= r < 1e6 for r in rates.values()):
            raise Unusable(expected)
        out.append(PriceOverride(model=str(model), **{k: float(r) for k, r in rates.items()}))
    return tuple(out)


def explain(value: object) -> Explainer:
    """Whom to ask for explanations: ``{endpoint, model, key_env}``."""
    expected = (
        "a table [explain] with endpoint (an address like https://host/v1, http:// only to this machine), model, and if"
        " needed key_env, the name of the variable that holds the key"
    )
    if isinstance(value, Explainer):
        return value
    if not isinstance(value, Mapping) or not {"endpoint", "model"} <= set(value) <= {"endpoint", "model", "key_env"}:
        raise Unusable(expected)
    try:
        given = {name: text(said) for name, said in value.items()}
        return Explainer(**given | {"endpoint": sidecar_url(given["endpoint"])})
    except Unusable:
        raise Unusable(expected) from None


def endpoints(value: object) -> tuple[Endpoint, ...]:
    """Places that calls may be sent to: ``{name: {base_url, key_env}}``."""
    expected = (
        "tables like [endpoints.NAME] with base_url (an address like https://host/v1, http:// only to this machine) and"
        " if needed key_env, the name of the variable that holds the key; NAME of letters, digits, _ and -"
    )
    if isinstance(value, tuple) and all(isinstance(each, Endpoint) for each in value):
        return value
    if not isinstance(value, Mapping):
        raise Unusable(expected)
    found = []
    for name, said in value.items():
        is_name = name.replace("-", "").replace("_", "").isalnum() and name.isascii() and len(name) <= 64
        if not is_name or not isinstance(said, Mapping) or not {"base_url"} <= set(said) <= {"base_url", "key_env"}:
            raise Unusable(expected)
        try:
            given = {key: text(each) for key, each in said.items()}
            found.append(Endpoint(name, sidecar_url(given["base_url"]), given.get("key_env")))
        except Unusable:
            raise Unusable(expected) from None
    return tuple(found)


def fallback_models(value: object) -> tuple[FallbackModels, ...]:
    """Models to fall back to: a list, one text with commas, or ``{failing model: list}``."""
    if isinstance(value, tuple) and all(isinstance(named, FallbackModels) for named in value):
        return value
    given = value if isinstance(value, Mapping) else {None: value}
    found = []
    for model, models in given.items():
        texts = models.split(",") if isinstance(models, str) else models
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise Unusable("a list of models' names, or a table [fallback_models] with one such list per failing model")
        if texts:
            found.append(FallbackModels(model, tuple(text.strip() for text in texts)))
    return tuple(found)

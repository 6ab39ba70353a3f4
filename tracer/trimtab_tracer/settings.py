"""Every setting of trimtab in one table, and the order in which its value is found.

In: arguments, ``TRIMTAB_*`` environment variables, ``trimtab.toml`` in the home and ``[tool.trimtab]`` of the
``pyproject.toml`` in the working directory, in this order of precedence. Out: one frozen :class:`Settings`,
resolved once and passed down, and for ``trimtab config`` where each value came from.

The fields of :class:`Settings` are the table: name, type, default, environment variable, how a value is read,
and the sentence that the documentation prints. This runs when the user's agent starts, so TOML is only
imported where a settings file exists. A key or a value that can't be used raises
:class:`~.errors.SettingsError`; the agent side turns that into one log line and stays off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from . import setting_values as read
from .caps import MAX_DELAY_S, MAX_IN_FLIGHT, MAX_RETRIES, MAX_TOKENS_PER_HOUR, Guardrails
from .errors import SettingsError, SidecarError
from .setting_values import LOOPBACK, Endpoint, Explainer, FallbackModels, PriceOverride, Unusable

HOME_FILE = "trimtab.toml"
"""Settings file inside the home."""
RUN_SERVICE = "TRIMTAB_RUN_SERVICE"
"""Variable with which the first Python below ``trimtab run`` names those it starts without a script."""
HIDDEN = "(hidden)"
"""What is shown of a setting that is a secret."""


def _script() -> str:
    """Name of the running script: what an agent is called if nobody says otherwise."""
    first = (getattr(sys, "argv", None) or [""])[0]
    if first == "-m":  # before the program begins, Python has not replaced it by the module's file yet
        words = sys.orig_argv
        first = words[words.index("-m") + 1].rpartition(".")[2] if "-m" in words[:-1] else ""
    name = Path(first).stem
    if name == "__main__":  # `python -m package`
        name = Path(first).absolute().parent.name
    return name if name not in ("", "-c", "-m") else os.environ.get(RUN_SERVICE, "python")


def _row(
    env: str | None, reader: Callable[[object], object], sentence: str, *, is_secret: bool = False
) -> dict[str, object]:
    """The rest of a row of the table; the field itself gives name, type and default."""
    return {"env": env, "read": reader, "sentence": sentence, "is_secret": is_secret}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, resolved. Build it with :meth:`resolve`; tests may build it directly."""

    home: Path = field(
        default_factory=lambda: Path(".trimtab").absolute(),
        metadata=_row(
            "TRIMTAB_HOME",
            read.path,
            "Folder that holds spool, store, content, token and `trimtab.toml`;"
            " by default `.trimtab` in the working directory.",
        ),
    )
    service: str = field(
        default_factory=_script,
        metadata=_row(
            "TRIMTAB_SERVICE", read.text, "Name of the agent, shown with its runs; by default the script's name."
        ),
    )
    content: str = field(
        default="redacted",
        metadata=_row(
            "TRIMTAB_CONTENT",
            read.one_of("off", "redacted", "full"),
            "Which texts of requests and responses are kept: `off` none, `redacted` without secrets, `full` all of it.",
        ),
    )
    disabled: bool = field(
        default=False,
        metadata=_row(
            "TRIMTAB_DISABLED",
            read.flag,
            "Turns everything inside the agent into a no-op: nothing patched, nothing written.",
        ),
    )
    harness: str | None = field(
        default=None,
        metadata=_row(
            "TRIMTAB_HARNESS",
            read.text,
            "Version of the code around the model; by default the git commit, with a mark if the tree was changed.",
        ),
    )
    include_usage: bool = field(
        default=False,
        metadata=_row(
            "TRIMTAB_INCLUDE_USAGE",
            read.flag,
            "Whether to ask for the usage of OpenAI-format streams whose code does not ask; the code does not see it.",
        ),
    )
    user_packages: tuple[str, ...] = field(
        default=(),
        metadata=_row(
            "TRIMTAB_USER_PACKAGES",
            read.names,
            "Installed packages that are your own code, so that their lines are named like those of your scripts;"
            " import names, with commas between them (a list in a file).",
        ),
    )
    spool_max_bytes: int = field(
        default=1 << 30,
        metadata=_row(
            "TRIMTAB_SPOOL_MAX_BYTES",
            read.integer(1 << 16),
            "Upper bound of the spool on disk, in bytes; near it content is dropped first, and every drop is counted.",
        ),
    )
    flush_interval_s: float = field(
        default=0.2,
        metadata=_row(
            "TRIMTAB_FLUSH_INTERVAL_S",
            read.seconds(0.001, 60),
            "Longest time that a parsed exchange or content waits in the agent before it is written, in seconds.",
        ),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=_row(
            "TRIMTAB_HOST", read.one_of(*LOOPBACK), "Address the sidecar listens on; loopback only, it serves prompts."
        ),
    )
    port: int = field(
        default=4319,
        metadata=_row("TRIMTAB_PORT", read.integer(0, 65535), "Port of the sidecar's API; 0 picks a free one."),
    )
    dashboard_port: int = field(
        default=4320,
        metadata=_row(
            "TRIMTAB_DASHBOARD_PORT", read.integer(0, 65535), "Port of the dashboard, whose pages may call the API."
        ),
    )
    collect_interval_s: float = field(
        default=0.25,
        metadata=_row(
            "TRIMTAB_COLLECT_INTERVAL_S",
            read.seconds(0.01, 3600),
            "Pause of the sidecar between two looks into the spool, in seconds.",
        ),
    )
    analyze_interval_s: float = field(
        default=3.0,
        metadata=_row(
            "TRIMTAB_ANALYZE_INTERVAL_S",
            read.seconds(0.01, 86400),
            "Pause of the sidecar between two analyses, in seconds; it only analyses if something new came in.",
        ),
    )
    steering: bool = field(
        default=True,
        metadata=_row(
            "TRIMTAB_STEERING",
            read.flag,
            "Whether the agent obeys a published policy; `0` only observes.",
        ),
    )
    policy_url: str | None = field(
        default=None,
        metadata=_row(
            "TRIMTAB_POLICY_URL",
            read.sidecar_url,
            "Address of the sidecar that an agent on another machine reads its policy from, instead of `policy.json`"
            " in the home; `https://`, or `http://` to this machine. Needs `policy_key`.",
        ),
    )
    policy_key: str | None = field(
        default=None,
        repr=False,
        metadata=_row(
            "TRIMTAB_POLICY_KEY",
            read.key,
            "Text of the sidecar's file `policy.key`, which proves a policy read from `policy_url`.",
            is_secret=True,
        ),
    )
    policy_lifetime_s: int = field(
        default=3600,
        metadata=_row(
            "TRIMTAB_POLICY_LIFETIME_S",
            read.integer(1, 7 * 86400),
            "How long agents obey a policy after the sidecar issued it, in seconds; a running sidecar issues it anew.",
        ),
    )
    steer_max_retries: int = field(
        default=MAX_RETRIES,
        metadata=_row(
            "TRIMTAB_STEER_MAX_RETRIES",
            read.integer(0, MAX_RETRIES),
            "Most retries of one call that a policy can ask for.",
        ),
    )
    steer_max_delay_s: float = field(
        default=MAX_DELAY_S,
        metadata=_row(
            "TRIMTAB_STEER_MAX_DELAY_S",
            read.seconds(0, MAX_DELAY_S),
            "Longest pause before a retry under a policy, in seconds; a provider that asks for a longer one is not"
            " asked again.",
        ),
    )
    steer_max_in_flight: int = field(
        default=MAX_IN_FLIGHT,
        metadata=_row(
            "TRIMTAB_STEER_MAX_IN_FLIGHT",
            read.integer(0, MAX_IN_FLIGHT),
            "Most calls of one process that are retried by trimtab at the same time.",
        ),
    )
    steer_max_tokens_per_hour: int = field(
        default=MAX_TOKENS_PER_HOUR,
        metadata=_row(
            "TRIMTAB_STEER_MAX_TOKENS_PER_HOUR",
            read.integer(0, MAX_TOKENS_PER_HOUR),
            "Most tokens of steered calls in one process within an hour; above it the code's own values hold where"
            " another one may cost more.",
        ),
    )
    steer_max_usd_per_day: float = field(
        default=50.0,
        metadata=_row(
            "TRIMTAB_STEER_MAX_USD_PER_DAY",
            read.number(0, 1e6, "USD"),
            "What steered calls may cost in 24 hours at list prices, in USD; above it the sidecar freezes steering.",
        ),
    )
    tune_mode: str = field(
        default="recommend",
        metadata=_row(
            "TRIMTAB_TUNE_MODE",
            read.one_of("observe", "recommend", "auto"),
            "What the sidecar may do about knobs that have no mode of their own: `observe` proposes nothing,"
            " `recommend` asks a person, `auto` also tries and promotes by itself.",
        ),
    )
    tune_outcome_wait_s: float = field(
        default=3600.0,
        metadata=_row(
            "TRIMTAB_TUNE_OUTCOME_WAIT_S",
            read.seconds(0, 30 * 86400),
            "How long after its end a run that raised may still be said to have succeeded, before an experiment counts"
            " it as failed, in seconds.",
        ),
    )
    tune_publish_interval_s: float = field(
        default=30.0,
        metadata=_row(
            "TRIMTAB_TUNE_PUBLISH_INTERVAL_S",
            read.seconds(0.01, 86400),
            "Least pause between two publications of what an experiment has learned, in seconds; a rollback does not"
            " wait.",
        ),
    )
    tune_max_share: float = field(
        default=0.2,
        metadata=_row(
            "TRIMTAB_TUNE_MAX_SHARE",
            read.number(0.02, 0.9, "a share of the runs"),
            "Share of the runs that an experiment may give other values than the code's, until one is promoted.",
        ),
    )
    tune_max_usd_per_day: float = field(
        default=10.0,
        metadata=_row(
            "TRIMTAB_TUNE_MAX_USD_PER_DAY",
            read.number(0, 1e6, "USD"),
            "What the runs that an experiment gives other values may cost in a day, in USD, until one is promoted;"
            " above it exploring pauses.",
        ),
    )
    fallback_models: tuple[FallbackModels, ...] = field(
        default=(),
        metadata=_row(
            "TRIMTAB_FALLBACK_MODELS",
            read.fallback_models,
            "Models to propose where another one is overloaded, before those that were seen to answer: names with"
            " commas between them (in a file a list, or a table `[fallback_models]` with a list per failing model).",
        ),
    )
    prices: tuple[PriceOverride, ...] = field(
        default=(),
        metadata=_row(
            None,
            read.prices,
            'Your own prices: a table `[prices."my-model"]` with `input` and `output` (and `cache_read`, `cache_write`,'
            " `cache_write_1h`, `reasoning`, `input_audio`, `output_audio`) in USD per million tokens.",
        ),
    )

    endpoints: tuple[Endpoint, ...] = field(
        default=(),
        metadata=_row(
            None,
            read.endpoints,
            "Other endpoints of the same wire format that a policy may send calls to: a table `[endpoints.NAME]` with"
            " `base_url` and, if needed, `key_env`, the variable that holds the key. A policy carries the name alone.",
        ),
    )
    explain: Explainer | None = field(
        default=None,
        metadata=_row(
            None,
            read.explain,
            "Whom `trimtab findings --explain` and `trimtab report --explain` ask: a table `[explain]` with `endpoint`"
            " and `model` of an OpenAI-compatible API, and `key_env`, the variable that holds the key.",
        ),
    )

    notify_url: str | None = field(
        default=None,
        repr=False,
        metadata=_row(
            "TRIMTAB_NOTIFY_URL",
            read.webhook_url,
            "Webhook that the sidecar tells of new findings, rollbacks and spent budgets; `https://`, or `http://` to"
            " this machine. It is a secret: whoever has it can write there.",
            is_secret=True,
        ),
    )
    notify_format: str = field(
        default="json",
        metadata=_row(
            "TRIMTAB_NOTIFY_FORMAT",
            read.one_of("json", "slack"),
            "What the webhook takes: `json` (docs/notices.md) or `slack`.",
        ),
    )
    notify_on: tuple[str, ...] = field(
        default=("new_finding", "rollback", "budget_stop"),
        metadata=_row(
            "TRIMTAB_NOTIFY_ON",
            read.notices,
            "What it is told of, separated by commas: `new_finding`, `rollback`, `budget_stop`.",
        ),
    )

    @property
    def spool_dir(self) -> Path:
        """Where agents write their segments."""
        return self.home / "spool"

    @property
    def store_path(self) -> Path:
        """The DuckDB file."""
        return self.home / "trimtab.duckdb"

    @property
    def content_dir(self) -> Path:
        """Parquet segments with request and response texts."""
        return self.home / "content"

    @property
    def token_path(self) -> Path:
        """The API's bearer token, readable by this user only."""
        return self.home / "token"

    @property
    def policy_path(self) -> Path:
        """The published policy document."""
        return self.home / "policy.json"

    @property
    def policy_key_path(self) -> Path:
        """Key that signs the policy for agents elsewhere, readable by this user only."""
        return self.home / "policy.key"

    @property
    def caps(self) -> Guardrails:
        """What these settings let a policy do at most."""
        return Guardrails(
            self.steer_max_retries, self.steer_max_delay_s, self.steer_max_in_flight, self.steer_max_tokens_per_hour
        )

    @property
    def sidecar_path(self) -> Path:
        """Who serves this home now: ``{"pid", "url", ...}``, written by a running sidecar."""
        return self.home / "sidecar.json"

    @classmethod
    def resolve(cls, **arguments: Any) -> Self:
        """The settings in force here and now; an argument that is None was not given.

        Raises:
            SettingsError: an unknown setting, or a value that can't be used; names where it was found.
            SidecarError: this user may not read the home.
        """
        values = {name: found.value for name, found in _find_all(arguments).items()}
        return cls(**values)


class Setting(NamedTuple):
    """One row of the table, as documentation and ``trimtab config`` show it."""

    name: str
    env: str | None
    default: object
    type: str
    sentence: str
    read: Callable[[object], object]
    is_secret: bool


TABLE: tuple[Setting, ...] = tuple(
    Setting(
        f.name,
        f.metadata["env"],
        f.default_factory if callable(f.default_factory) else f.default,
        str(f.type),
        f.metadata["sentence"],
        f.metadata["read"],
        f.metadata["is_secret"],
    )
    for f in fields(Settings)
)
"""Name, environment variable, default (or the function that gives it), type, sentence, reader of each setting."""


class Found(NamedTuple):
    """A setting's value and where it came from: ``argument``, a variable's name, a file, or ``default``."""

    value: Any
    source: str


def provenance(**arguments: Any) -> dict[str, Found]:
    """Each setting's value with its source, in the order of the table; raises like :meth:`Settings.resolve`.

    A secret's value is :data:`HIDDEN`.
    """
    found = _find_all(arguments)
    hidden = {row.name for row in TABLE if row.is_secret and found[row.name].value is not None}
    return {name: Found(HIDDEN, each.source) if name in hidden else each for name, each in found.items()}


def _find_all(arguments: Mapping[str, Any]) -> dict[str, Found]:
    names = [row.name for row in TABLE]
    for key in arguments:
        if key not in names:
            raise SettingsError.unknown_key(key, "argument", names)
    project = _read_toml(Path("pyproject.toml"), "tool", "trimtab")
    home = _find(TABLE[0], arguments, (project,))
    files = (_read_toml(home.value / HOME_FILE), project)
    if "home" in files[0].values:
        message = "it can't be set in the file that lies in it; use TRIMTAB_HOME or [tool.trimtab] of pyproject.toml"
        raise SettingsError(f"{files[0].source}: setting 'home': {message}.")
    for file in files:
        for key in file.values:
            if key not in names:
                raise SettingsError.unknown_key(key, file.source, names)
    return {row.name: home if row.name == "home" else _find(row, arguments, files) for row in TABLE}


class _File(NamedTuple):
    source: str
    values: Mapping[str, Any]


def _find(row: Setting, arguments: Mapping[str, Any], files: tuple[_File, ...]) -> Found:
    """The value of one setting from the first place that has it."""
    places: list[tuple[object, str]] = []
    if arguments.get(row.name) is not None:
        places.append((arguments[row.name], "argument"))
    if row.env and os.environ.get(row.env):
        places.append((os.environ[row.env], row.env))
    places += [(file.values[row.name], file.source) for file in files if row.name in file.values]
    if not places:
        return Found(row.default() if callable(row.default) else row.default, "default")
    value, source = places[0]
    try:
        return Found(row.read(value), source)
    except Unusable as error:
        seen = HIDDEN if row.is_secret else _harmless(value)
        raise SettingsError.bad_value(row.name, seen, str(error), source) from None


def _harmless(value: object) -> object:
    from .redact import redact  # only when something already went wrong

    return redact(value) if isinstance(value, str) else value


def _read_toml(path: Path, *table: str) -> _File:
    """The settings in ``path`` (below ``[a.b]`` for ``table`` a, b); empty where there is no such file."""
    source = f"{path} [{'.'.join(table)}]" if table else str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return _File(source, {})
    except (OSError, UnicodeDecodeError) as error:
        if table:  # someone else's file: an agent may run in a folder whose pyproject.toml is none of our business
            return _File(source, {})
        if isinstance(error, PermissionError):
            raise SidecarError.no_access(path.parent, path) from None
        raise SettingsError.unreadable_file(path, error) from None
    if table and table[-1] not in text:
        return _File(source, {})
    import tomllib

    try:
        values: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError.unreadable_file(path, error) from None
    for name in table:
        values = values.get(name, {}) if isinstance(values, dict) else {}
    if not isinstance(values, dict):
        raise SettingsError.bad_value(".".join(table), values, "a table", str(path))
    return _File(source, values)

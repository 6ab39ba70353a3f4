"""The settings that a mini-SWE-agent trajectory carries, and what they say of a run.

In: the ``info`` table of a trajectory. Out: the request parameters, the harness's parser and its rejection text, and
the knobs. Apart from :mod:`.mini_swe` because settings moved between its versions (the parser's template from
``agent`` to ``model``) while the conversation around them did not. A setting that is missing or of another type is
unknown, never an error.
"""

from __future__ import annotations

import re
from typing import Any

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.rejections import rejection
from trimtab_tracer.wire.values import obj, text

from .trace import Knob

MAX_QUOTE = 160
"""Characters of a setting that are quoted as its source."""

MIN_HEAD = 8
"""Characters that a rejection's literal head must have to tell it from other text."""

_ACTION = r"```(?:bash|mswea_bash_command)\s*\n(.*?)\n```"
_TEMPLATE_FIELD = re.compile(r"\{\{|\{%|\{#")


class Config:
    """The harness's settings, which version 1 and 2 keep under different tables."""

    def __init__(self, info: dict[str, Any]) -> None:
        config = obj(info.get("config"))
        self._tables = {name: obj(config.get(name)) for name in ("agent", "model", "environment")}
        self.agent_type = (text(config.get("agent_type")) or "unknown agent").rpartition(".")[2]
        self.model_type = text(config.get("model_type")) or ""
        self.model_name = text(self._get("model", "model_name"))
        self.model_kwargs = obj(self._get("model", "model_kwargs"))
        self._format_error = self._parser("format_error_template") or ""
        self.action = _compile(self._parser("action_regex"))

    @property
    def is_openrouter(self) -> bool:
        """Whether the calls went to OpenRouter."""
        return "openrouter" in self.model_type.lower()

    @property
    def request(self) -> dict[str, Any]:
        """What every request set, besides its messages."""
        return ({"model": self.model_name} if self.model_name else {}) | self.model_kwargs

    def _get(self, table: str, key: str) -> Any:
        return self._tables[table].get(key)

    def _parser(self, key: str) -> str | None:
        return text(self._get("model", key)) or text(self._get("agent", key))

    def is_rejection(self, said: str) -> bool:
        """Whether the harness's reply starts as its own format error does, or reads like one."""
        head = _TEMPLATE_FIELD.split(self._format_error, maxsplit=1)[0].strip()
        return (len(head) >= MIN_HEAD and said.lstrip().startswith(head)) or rejection(said)

    def knobs(self) -> list[Knob]:
        """The settings that decide what a run costs and whether it fails, as far as the file holds them."""
        found: list[Knob] = []
        if self.model_name:
            found.append(Knob("model", self.model_name, f"model.model_name: {self.model_name}"))
        if self._tables["model"]:
            for knob in ("temperature", "max_tokens"):
                value = self.model_kwargs.get(knob)
                quote = f"{knob}: {value}" if value is not None else f"{canonical(self.model_kwargs)} (no {knob})"
                found.append(Knob(knob, value, f"model.model_kwargs: {quote}"[:MAX_QUOTE]))
        for table, key, knob in (
            ("agent", "step_limit", "step_limit"),
            ("agent", "cost_limit", "cost_limit"),
            ("environment", "timeout", "command_timeout_s"),
        ):
            value = self._get(table, key)
            if value is not None:
                found.append(Knob(knob, value, f"{table}.{key}: {value}"))
        if self._format_error:
            line = (self._format_error.strip().splitlines() or [""])[0]
            found.append(
                Knob("output_parser", digest(self._format_error), f"format_error_template: {line}"[:MAX_QUOTE])
            )
        if system := text(self._get("agent", "system_template")):
            line = (system.strip().splitlines() or [""])[0]
            found.append(Knob("prompt_version", digest(system), f"agent.system_template: {line}"[:MAX_QUOTE]))
        return found


def _compile(pattern: str | None) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern or _ACTION, re.DOTALL)
    except re.error:
        return re.compile(_ACTION, re.DOTALL)
    return compiled if compiled.groups == 1 else re.compile(_ACTION, re.DOTALL)

"""Findings in a language model's words, for those who configured one and asked for it.

In: what a finding says (:func:`facts`), and whom to ask: an OpenAI-compatible address, a model and the name of the
variable with the key, from the user's own settings file and nowhere else. Out: one text per finding. A module of its
own because it is the only part of the analysis that asks a model, and the only one that sends anything out of the
machine: exactly the facts below, when a person typed ``--explain``. Secrets are taken out of them whatever the setting
``content`` says; where it says ``off`` so are the words that a title or an advice quotes, longer texts of settings and
the statement at the line. A text stands beside a finding and changes nothing of it. Where the model can't be asked, the
findings stay as they are and one sentence says why.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trimtab_tracer.errors import SettingsError
from trimtab_tracer.redact import redact, redact_value
from trimtab_tracer.setting_values import Explainer

if TYPE_CHECKING:
    import httpx

MAX_FINDINGS: Final = 20
"""How many are explained, the first by rank."""
MAX_CHARS: Final = 4_000
"""Longest explanation that is kept, and longest text of a fact that is sent."""
MAX_SETTING_CHARS: Final = 80
"""Longest text in the value of a setting that is sent where content is off: a longer one is a prompt, not a choice."""
TIMEOUT_S: Final = 60.0
"""How long one answer may take."""

INSTRUCTIONS: Final = (
    "You get one finding of a program that watches LLM agents, as JSON. Explain to the developer of the agent, in at"
    " most 120 words of plain prose, what happened, how the setting and the line that are named come into it, and what"
    " the advice would change. Say only what the JSON says. Give no number that is not in it, and no advice beyond it."
)
SENT: Final = ("mode", "mode_name", "question", "title", "advice", "subject", "knob", "value", "value_source")
"""What is sent of a finding as it stands; of its site the file, function, line and source, and its amounts."""

Json = dict[str, Any]


class Explained(NamedTuple):
    """What became of a request for explanations."""

    texts: list[str | None]
    """One per finding; None where there is none."""
    problem: str | None
    """Why some are missing, as a sentence; None where none is."""


def facts(finding: Mapping[str, Any], content: str = "redacted") -> Json:
    """What is sent of a finding (:mod:`.pins`): what the table shows, with secrets taken out and long texts cut.

    Args:
        finding: By the keys of ``trimtab findings --json``.
        content: ``off | redacted | full``; ``off`` keeps back what quotes somebody, ``full`` sends no more than
            ``redacted`` does.
    """
    site = finding["site"]
    shown = {name: finding[name] for name in SENT}
    shown["site"] = {name: site[name] for name in ("file", "function", "line", "source")} if site else None
    shown["amounts"] = finding["amounts"]
    if content == "off":
        shown = _without_content(shown)
    return {name: _clean(name, value) for name, value in shown.items()}


_QUOTED: Final = re.compile("“(.*)”", re.DOTALL)  # to the last one: what is quoted may hold such marks itself
_LEFT_OUT: Final = "“…”"


def _without_content(shown: Json) -> Json:
    """``shown`` without words of prompts, answers, tools and errors, and without code."""
    texts = {name: _QUOTED.sub(_LEFT_OUT, shown[name] or "") for name in ("title", "advice")}
    quoted = [found[1] for name in texts if (found := _QUOTED.search(shown[name] or ""))]
    is_said = bool(shown["subject"]) and any(shown["subject"] in words for words in quoted)
    site = shown["site"] and {name: of for name, of in shown["site"].items() if name != "source"}
    subject = _LEFT_OUT if is_said else shown["subject"]
    return shown | texts | {"subject": subject, "value": _short(shown["value"]), "site": site}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_SETTING_CHARS else _LEFT_OUT
    if isinstance(value, dict):
        return {_short(str(name)): _short(of) for name, of in value.items()}
    return [_short(of) for of in value] if isinstance(value, list) else value


def notice(n: int, by: Explainer, content: str) -> str:
    """What is about to leave the machine, and where to, as a sentence."""
    what = "titles without what they quote, settings and places" if content == "off" else "titles, settings and lines"
    asked = f"{min(n, MAX_FINDINGS)} of {n} findings"
    return f"Asking {by.model} at {by.endpoint} about {asked} (content = {content}: {what})."


def _clean(name: str, value: Any) -> Any:
    value = redact_value(name, value)
    if isinstance(value, str):
        return redact(value)[:MAX_CHARS]
    if isinstance(value, dict):
        return {str(inner): _clean(str(inner), of) for inner, of in value.items()}
    return [_clean(name, of) for of in value] if isinstance(value, list) else value


def explain(findings: Sequence[Mapping[str, Any]], by: Explainer | None, content: str = "redacted") -> Explained:
    """Ask for the first findings one by one; the first that can't be had ends it.

    Args:
        findings: As :func:`.pins.pins` gives them.
        by: Whom to ask (``[explain]`` in ``trimtab.toml``).
        content: What of them may be told (:func:`facts`).

    Raises:
        SettingsError: nobody is configured, or the key's variable is not set.
    """
    asked = ready(by)
    import httpx

    texts: list[str | None] = [None] * len(findings)
    with httpx.Client(timeout=TIMEOUT_S, headers=_headers(asked)) as client:
        for i, finding in enumerate(findings[:MAX_FINDINGS]):
            try:
                texts[i] = _ask(client, asked, facts(finding, content))
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
                why = f"{type(error).__name__}: {redact(str(error))[:200]}"
                return Explained(texts, f"{asked.endpoint} explained {i} of {len(findings)} findings, then: {why}.")
    left = len(findings) - MAX_FINDINGS
    return Explained(texts, f"The first {MAX_FINDINGS} findings are explained; {left} are not." if left > 0 else None)


def ready(by: Explainer | None) -> Explainer:
    """``by``, made sure that it can be asked: worth knowing before an analysis that takes a while.

    Raises:
        SettingsError: nobody is configured, or the key's variable is not set.
    """
    if by is None:
        raise SettingsError(
            '--explain needs a model to ask: name one in trimtab.toml, as [explain] with endpoint = "https://host/v1",'
            ' model = "..." and key_env = "NAME_OF_THE_VARIABLE_WITH_THE_KEY".'
        )
    _headers(by)
    return by


def _headers(by: Explainer) -> dict[str, str]:
    if by.key_env is None:
        return {}
    key = os.environ.get(by.key_env, "").strip()
    if not key:
        raise SettingsError(
            f"[explain] names the variable {by.key_env} for the key, and it is not set: set it, or leave key_env out."
        )
    return {"Authorization": f"Bearer {key}"}


def _ask(client: httpx.Client, by: Explainer, told: Json) -> str:
    messages = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": json.dumps(told, ensure_ascii=False)},
    ]
    response = client.post(f"{by.endpoint}/chat/completions", json={"model": by.model, "messages": messages})
    response.raise_for_status()
    said = response.json()["choices"][0]["message"]["content"]
    if not isinstance(said, str) or not said.strip():
        raise ValueError("the answer has no text")
    return redact(said.strip())[:MAX_CHARS]

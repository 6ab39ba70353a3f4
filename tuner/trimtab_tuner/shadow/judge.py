"""How an answer is judged: by the user's own function, or by its agreement with the recorded one.

In: a request and answers. Out: numbers from 0 to 1. Agreement is not quality: an answer that is better than the
recorded one disagrees with it, too. It is what can be said without knowing the task, and it is called by its name.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from trimtab_tracer.errors import SettingsError, TrimtabError
from trimtab_tracer.wire.facts import ResponseFacts

Json = dict[str, Any]
Judge = Callable[[Json, Json], float]
AGREEMENT: Final = "agreement"


class Judged(NamedTuple):
    """Both answers to one request."""

    own: float
    other: float


def judged(judge: Judge | None, request: Json, own: ResponseFacts, other: ResponseFacts) -> Judged:
    """Both by ``judge``; without one the recorded answer is 1 and the other one its :func:`agreement`.

    Raises:
        TrimtabError: the user's function raised, or gave no number from 0 to 1.
    """
    if judge is None:
        return Judged(1.0, agreement(own, other))
    return Judged(_asked(judge, request, own), _asked(judge, request, other))


def agreement(own: ResponseFacts, other: ResponseFacts) -> float:
    """How far two answers say the same.

    Tools that are called: 1 for the same calls with the same arguments, half for the same tools with others. JSON: 1 if
    equal. Else the F1 of their words (the harmonic mean of how many of each are in the other, as in SQuAD: P. Rajpurkar
    et al., EMNLP 2016). An answer that was cut off or empty where the other is not: 0.
    """
    if own.tool_calls or other.tool_calls:
        return _tools_agree(own, other)
    one, two = (own.text or "").strip(), (other.text or "").strip()
    parsed = _json(one), _json(two)
    if parsed[0] is not None or parsed[1] is not None:
        return float(parsed[0] == parsed[1])
    return _words_agree(one, two)


def _tools_agree(own: ResponseFacts, other: ResponseFacts) -> float:
    called = [Counter((call.name, _plain(call.arguments)) for call in facts.tool_calls) for facts in (own, other)]
    if called[0] == called[1]:
        return 1.0
    names = [Counter(call.name for call in facts.tool_calls) for facts in (own, other)]
    return 0.5 if names[0] == names[1] else 0.0


def _words_agree(one: str, two: str) -> float:
    words = Counter(one.lower().split()), Counter(two.lower().split())
    if not words[0] or not words[1]:
        return float(words[0] == words[1])
    common = sum((words[0] & words[1]).values())
    return 2 * common / (words[0].total() + words[1].total())


def _plain(arguments: Any) -> str:
    found = _json(arguments) if isinstance(arguments, str) else arguments
    return json.dumps(found if found is not None else arguments, sort_keys=True, default=str)


def _json(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def load(name: str) -> Judge:
    """The function ``module:function`` of the user's own, importable from the working directory.

    Raises:
        SettingsError: there is none.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise SettingsError(f"--judge {name}: expected MODULE:FUNCTION, such as checks:grade.")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--judge {name}: {error}.") from error
    if not callable(found):
        raise SettingsError(f"--judge {name}: it can't be called; expected a function of a request and an answer.")
    return found  # type: ignore[no-any-return]


def answer_of(facts: ResponseFacts) -> Json:
    """An answer as a judge gets it: ``text``, ``tool_calls`` with ``name`` and ``arguments``, ``finish_reason``."""
    calls = [{"name": call.name, "arguments": call.arguments} for call in facts.tool_calls]
    return {"text": facts.text or "", "tool_calls": calls, "finish_reason": facts.finish_reason}


def _asked(judge: Judge, request: Json, facts: ResponseFacts) -> float:
    try:
        said = float(judge(request, answer_of(facts)))
    except Exception as error:
        raise TrimtabError(
            f"The judge raised {type(error).__name__}: {error}. Nothing was recorded of this call."
        ) from error
    if not isfinite(said) or not 0 <= said <= 1:
        raise TrimtabError(
            f"The judge gave {said!r}, expected a number from 0 to 1. Nothing was recorded of this call."
        )
    return said

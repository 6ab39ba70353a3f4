"""The table of rules: what goes wrong around a model, which decision of the harness it belongs to, what mends it.

In: nothing. Out: :data:`RULES`, in the order in which they are run and in which equal findings are shown. A rule is one
function in ``rules/`` and one entry here. The order matters once: ``run_error`` comes last because it takes only what
the others left over. No rule needs a model to judge, and none claims an effect: a finding says what was seen under a
decision, not what another decision would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .case import Blame, Case
from .rules import answers, requests, runs, storms, timeouts, tools

Find = Callable[[Case, str], Iterator[Blame]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One failure mode that a rule alone can tell."""

    id: str
    question: str
    knob: str
    """The harness's decision it belongs to."""
    advice: str
    """What mends it in general; a finding says it for its own line and numbers."""
    taxonomy: str
    """What it is called elsewhere: MAST (Cemri et al. 2025), TRAIL (Deshpande et al. 2025), or the provider's term."""
    cost_class: str | None
    """Class of the ledger that holds what it wastes (:data:`~.cost.CLASSES`); None where it wastes nothing itself."""
    ends_runs: bool
    """Whether an exception that ends the run right after a hit follows from it, so that no other finding names it."""
    find: Find


RULES: Final = (
    Rule(
        "rate_limit",
        "Which calls did the provider turn away because too many came at once?",
        "max_retries",
        "Retry after the pause that Retry-After names, or send fewer calls at once.",
        "TRAIL: rate limiting; provider: HTTP 429",
        "failed_attempt",
        True,
        requests.rate_limit,
    ),
    Rule(
        "provider_error",
        "Which calls failed because of the provider, or on the way to it?",
        "max_retries",
        "Retry with growing pauses, and name a fallback model.",
        "TRAIL: service errors; provider: HTTP 5xx, 529, connection",
        "failed_attempt",
        True,
        requests.provider_error,
    ),
    Rule(
        "timeout",
        "Which calls did the client's own time limit end?",
        "timeout_s",
        "Set the limit above what successful calls take, or stream; where calls hang, not far above, and retry.",
        "TRAIL: timeout issues",
        "failed_attempt",
        True,
        timeouts.timeout,
    ),
    Rule(
        "futile_retry",
        "Which requests were sent again although the same request had to fail again?",
        "retry_on",
        "Retry only errors that pass: rate limits, overload, 5xx, timeouts and dropped connections.",
        "TRAIL: resource abuse; provider: HTTP 400, 401, 403, 404, 422",
        "futile_retry",
        True,
        requests.futile_retry,
    ),
    Rule(
        "retry_storm",
        "Which requests went out many times over because one retry loop runs inside another?",
        "max_retries",
        "Let one loop retry: set the inner one to 0, or take the outer one away.",
        "TRAIL: resource abuse",
        "retry_multiplication",
        False,
        storms.retry_storm,
    ),
    Rule(
        "truncation",
        "Which answers were cut by a token limit?",
        "max_tokens",
        "Raise the limit, or ask the model to go on where it was cut.",
        "provider: finish_reason length, MAX_TOKENS",
        "truncated_output",
        True,
        answers.truncation,
    ),
    Rule(
        "parser_rejection",
        "Which answers did the agent's own parser turn down?",
        "prompt_version",
        "Accept what the model really writes, state the form in the prompt, or use native tool calls.",
        "TRAIL: formatting errors",
        "rejected_output",
        True,
        answers.parser_rejection,
    ),
    Rule(
        "malformed_tool_args",
        "Which tool calls had arguments that nothing can parse?",
        "tools",
        "Declare the tool with a strict schema, or repair the JSON.",
        "TRAIL: formatting errors",
        "malformed_tool_args",
        True,
        answers.malformed_tool_args,
    ),
    Rule(
        "unknown_tool",
        "Which calls named a tool that was not offered?",
        "tools",
        "Offer the tool, give the nearest one this name too, or say that only the listed ones exist.",
        "TRAIL: tool-related hallucination",
        "unknown_tool",
        True,
        answers.unknown_tool,
    ),
    Rule(
        "broken_tool",
        "Which tools fail most of the time, whatever they are given?",
        "tools",
        "Mend the tool or its schema, or stop offering it.",
        "TRAIL: tool definition issues",
        "broken_tool",
        True,
        tools.broken_tool,
    ),
    Rule(
        "repeated_call",
        "Which tool calls gave again what the run had already seen?",
        "loop_guard",
        "Break the loop after the second identical call or error; answer a tool that changes nothing from a cache.",
        "MAST FM-1.3: step repetition; TRAIL: resource abuse",
        "repeated_call",
        False,
        tools.repeated_call,
    ),
    Rule(
        "run_error",
        "Which runs did an exception end that no finding above accounts for?",
        "error_handling",
        "Handle the exception on the line that it left through, or mend what raises it.",
        "TRAIL: environment setup errors, resource not found; the agent's own code",
        None,
        False,
        runs.run_error,
    ),
)
"""Every rule, in the order in which they are run."""

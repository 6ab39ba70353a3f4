"""Spans that other tracers make about LLM calls, tools and agents, in one vocabulary.

In: a span's name and attributes, in any of the dialects of :mod:`.otel_names`. Out: :class:`SpanFacts`, or None for
a span about something else. Sans-IO and without OpenTelemetry, so that spans of this process and spans that arrive
over OTLP read the same. The table :data:`_NAMES` is the whole dictionary: for each fact the attributes that may hold
it, the newest conventions first. A value of the wrong type reads as absent; nothing raises. Like the other facts
of this package they hold plain text: whoever keeps them redacts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from ..digests import canonical
from .otel_names import (
    ANTHROPIC_REQUEST_ID,
    ANTHROPIC_STOP_REASON,
    AWS_REQUEST_ID,
    OPENAI_REQUEST_ID,
    GenAi,
    General,
    Mcp,
    OpenInference,
    Traceloop,
    VercelAi,
)

CALL, TOOL, AGENT = "call", "tool", "agent"


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """What a span says. A field is None where it does not."""

    subject: str
    """``call | tool | agent``."""
    operation: str
    """As the newest conventions call it."""
    provider: str | None = None
    host: str | None = None
    """Host, and port where it is not the scheme's own."""
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    """As in :class:`.facts.ResponseFacts`."""
    stream: bool = False
    ttft_ns: int | None = None
    input_tokens: int | None = None
    """All input tokens, cached ones included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: str | None = None
    """Canonical JSON of the arguments where the span holds a JSON object."""
    tool_result: str | None = None
    is_mcp: bool = False
    """Whether it is an MCP client's, whose status does not tell a tool's own error."""
    agent_name: str | None = None
    conversation_id: str | None = None
    error_type: str | None = None
    http_status: int | None = None


_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "provider": (GenAi.PROVIDER, OpenInference.PROVIDER, OpenInference.SYSTEM, GenAi.SYSTEM, VercelAi.PROVIDER),
    "model": (
        *(GenAi.REQUEST_MODEL, OpenInference.REQUEST_MODEL),
        *(OpenInference.MODEL, OpenInference.EMBEDDING_MODEL, VercelAi.MODEL),
    ),
    "response_model": (GenAi.RESPONSE_MODEL, OpenInference.RESPONSE_MODEL, VercelAi.RESPONSE_MODEL),
    "response_id": (GenAi.RESPONSE_ID, VercelAi.RESPONSE_ID),
    "request_id": (ANTHROPIC_REQUEST_ID, OPENAI_REQUEST_ID, AWS_REQUEST_ID),
    "finish_reason": (
        *(GenAi.FINISH_REASONS, GenAi.FINISH_REASON),
        *(OpenInference.FINISH_REASON, ANTHROPIC_STOP_REASON, VercelAi.FINISH_REASON),
    ),
    "stream": (GenAi.REQUEST_STREAM, GenAi.IS_STREAMING),
    "ttft_s": (GenAi.TIME_TO_FIRST_CHUNK, GenAi.CLIENT_TIME_TO_FIRST_CHUNK),
    "input_tokens": (
        *(GenAi.INPUT_TOKENS, GenAi.PROMPT_TOKENS, OpenInference.PROMPT_TOKENS),
        *(VercelAi.INPUT_TOKENS, VercelAi.PROMPT_TOKENS, VercelAi.EMBEDDED_TOKENS),
    ),
    "cache_read_tokens": (
        *(GenAi.CACHE_READ, GenAi.CACHE_READ_FLAT),
        *(OpenInference.CACHE_READ, VercelAi.CACHED_TOKENS),
    ),
    "cache_write_tokens": (
        *(GenAi.CACHE_WRITE, GenAi.CACHE_CREATION),
        *(GenAi.CACHE_CREATION_FLAT, OpenInference.CACHE_WRITE),
    ),
    "output_tokens": (
        *(GenAi.OUTPUT_TOKENS, GenAi.COMPLETION_TOKENS, OpenInference.COMPLETION_TOKENS),
        *(VercelAi.OUTPUT_TOKENS, VercelAi.COMPLETION_TOKENS),
    ),
    "reasoning_tokens": (
        *(GenAi.REASONING_TOKENS, GenAi.REASONING_TOKENS_FLAT),
        *(GenAi.THINKING_TOKENS, OpenInference.REASONING, VercelAi.REASONING_TOKENS),
    ),
    "tool_name": (GenAi.TOOL_NAME, OpenInference.TOOL_NAME, VercelAi.TOOL_NAME, Traceloop.ENTITY_NAME),
    "tool_call_id": (
        *(GenAi.TOOL_CALL_ID, GenAi.TOOL_CALL_ID_FLAT),
        *(OpenInference.TOOL_CALL_ID, OpenInference.TOOL_ID, VercelAi.TOOL_CALL_ID),
    ),
    "tool_arguments": (
        *(GenAi.TOOL_ARGUMENTS, VercelAi.TOOL_ARGUMENTS),
        *(OpenInference.INPUT_VALUE, Traceloop.ENTITY_INPUT),
    ),
    "tool_result": (
        *(GenAi.TOOL_RESULT, VercelAi.TOOL_RESULT),
        *(OpenInference.OUTPUT_VALUE, Traceloop.ENTITY_OUTPUT),
    ),
    "agent_name": (
        *(GenAi.AGENT_NAME, OpenInference.AGENT_NAME),
        *(GenAi.WORKFLOW_NAME, Traceloop.ENTITY_NAME),
    ),
    "conversation_id": (GenAi.CONVERSATION_ID, OpenInference.SESSION_ID, Mcp.SESSION_ID),
}
"""Which attributes hold a fact; the first one that is set counts."""

_OPERATIONS: Final[dict[str, tuple[str, str]]] = {
    "chat": (CALL, "chat"),
    "generate_content": (CALL, "generate_content"),
    "text_completion": (CALL, "text_completion"),
    "embeddings": (CALL, "embeddings"),
    "execute_tool": (TOOL, "execute_tool"),
    "create_agent": (AGENT, "create_agent"),
    "invoke_agent": (AGENT, "invoke_agent"),
    "invoke_workflow": (AGENT, "invoke_workflow"),
    # Gemini CLI
    "llm_call": (CALL, "chat"),
    "tool_call": (TOOL, "execute_tool"),
}
"""Operations of the GenAI conventions that are read. Others (``fetch_response``, ``plan``, memory) are no calls."""

_KINDS: Final[dict[str, tuple[str, str]]] = {
    # OpenInference
    "llm": (CALL, "chat"),
    "embedding": (CALL, "embeddings"),
    "tool": (TOOL, "execute_tool"),
    "agent": (AGENT, "invoke_agent"),
    # OpenLLMetry; a "task" or a "chain" is any function
    "workflow": (AGENT, "invoke_workflow"),
    "completion": (CALL, "text_completion"),
    "chat": (CALL, "chat"),
}
"""Span kinds of OpenInference and OpenLLMetry, and the request types of the latter."""

_AI_SDK: Final[dict[str, tuple[str, str]]] = {
    "ai.generateText.doGenerate": (CALL, "chat"),
    "ai.streamText.doStream": (CALL, "chat"),
    "ai.generateObject.doGenerate": (CALL, "chat"),
    "ai.streamObject.doStream": (CALL, "chat"),
    "ai.embed.doEmbed": (CALL, "embeddings"),
    "ai.embedMany.doEmbed": (CALL, "embeddings"),
    "ai.toolCall": (TOOL, "execute_tool"),
}
"""Operations of the AI SDK: those that send a request. Those around them (``ai.generateText``) tell it again."""

_PROVIDERS: Final[dict[str, str]] = {
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure": "azure.ai.openai",
    "anthropic.messages": "anthropic",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "google.generative-ai": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "openai.chat": "openai",
    "openai.embedding": "openai",
    "openai.responses": "openai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""Other names of providers than the conventions' own."""

_FINISH: Final[dict[str, str]] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_calls": "tool_calls",
    "tool-calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content-filter": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
    "error": "error",
}

_HINTS: Final = ("gen_ai.", "llm.", "openinference.", "traceloop.", "mcp.", "ag2.", "embedding.")
"""Beginnings of attributes that only spans about models, tools and agents have."""

_MAKERS: Final = re.compile(
    r"gen_?ai|openai|anthropic|mistral|openinference|traceloop|pydantic.?ai|autogen|ag2|mcp|langchain|langgraph"
    r"|llama|bedrock|vertex|cohere|groq|ollama|litellm|crewai|smolagents|dspy|agno|together|replicate|xai",
    re.IGNORECASE,
)
"""Scopes that make such spans, and may set the attributes only later."""

_FIRST_ID: Final = re.compile(r'\A\s*\{\s*"id"\s*:\s*"([^"\\]{1,200})"')
_DEFAULT_PORTS: Final = (None, 80, 443)


def may_be_about_models(scope: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a span that just began may turn out to be one that :func:`read` knows."""
    return _makes_such(scope) or any(name.startswith(_HINTS) for name in attributes)


@lru_cache(maxsize=1024)
def _makes_such(scope: str) -> bool:
    """Whether spans of this scope are often about models; a program has few scopes and asks at every span."""
    return _MAKERS.search(scope) is not None


def read(name: str, attributes: Mapping[str, Any], is_server: bool = False) -> SpanFacts | None:
    """What a span says, or None where it is about no LLM call, tool or agent.

    Args:
        name: Of the span.
        attributes: Of the span, when it ended.
        is_server: Whether its kind is SERVER: the other end of something that the client's span tells.
    """
    about = _about(attributes)
    if about is None or is_server:
        return None
    subject, operation = about
    given = {fact: _first(attributes, names) for fact, names in _NAMES.items()}
    error_type = _text(attributes.get(General.ERROR_TYPE))
    is_tool = subject == TOOL
    ttft_s = given["ttft_s"]
    return SpanFacts(
        subject=subject,
        operation=operation,
        provider=_provider(_text(given["provider"])),
        host=_host(attributes),
        model=_text(given["model"]),
        response_model=_text(given["response_model"]),
        response_id=_text(given["response_id"]) or (_id_in_output(attributes) if subject == CALL else None),
        request_id=_text(given["request_id"]),
        finish_reason=_finish(given["finish_reason"]),
        stream=given["stream"] is True,
        ttft_ns=int(ttft_s * 1e9) if isinstance(ttft_s, float) and 0 <= ttft_s < 1e6 else None,
        input_tokens=_count(given["input_tokens"]),
        cache_read_tokens=_count(given["cache_read_tokens"]),
        cache_write_tokens=_count(given["cache_write_tokens"]),
        output_tokens=_count(given["output_tokens"]),
        reasoning_tokens=_count(given["reasoning_tokens"]),
        tool_name=_tool_name(name, _text(given["tool_name"])) if is_tool else None,
        tool_call_id=_text(given["tool_call_id"]) if is_tool else None,
        tool_arguments=_arguments(given["tool_arguments"]) if is_tool else None,
        tool_result=_text(given["tool_result"]) if is_tool else None,
        is_mcp=Mcp.METHOD in attributes,
        agent_name=_text(given["agent_name"]),
        conversation_id=_text(given["conversation_id"]),
        error_type=error_type,
        http_status=_status(attributes.get(General.HTTP_STATUS)) or _status(error_type),
    )


def _about(attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """Subject and operation."""
    if (operation := _text(attributes.get(GenAi.OPERATION))) is not None:
        return _OPERATIONS.get(operation.lower())
    for name in (OpenInference.KIND, Traceloop.KIND, Traceloop.REQUEST_TYPE):
        if (kind := _text(attributes.get(name))) is not None:
            return _KINDS.get(kind.lower())
    if (operation := _text(attributes.get(VercelAi.OPERATION))) is not None:
        return _AI_SDK.get(operation)
    if attributes.get(Mcp.METHOD) == Mcp.CALL_TOOL:
        return TOOL, "execute_tool"
    return None


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := attributes.get(name)) is not None), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    """A number of tokens; some exporters send them as text or as floats."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < 10**15 else None


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 100 <= value < 600 else None


def _provider(name: str | None) -> str | None:
    return _PROVIDERS.get(name.lower(), name.lower()) if name is not None else None


def _host(attributes: Mapping[str, Any]) -> str | None:
    address, port = _text(attributes.get(General.SERVER_ADDRESS)), attributes.get(General.SERVER_PORT)
    if address is None:
        return None
    if "://" in address:  # a whole URL, perhaps with a password
        try:
            url = urlsplit(address)
            address, port = url.hostname or "", port if url.port is None else url.port
        except ValueError:
            return None
    address = address.rpartition("@")[2]
    if port in _DEFAULT_PORTS or not isinstance(port, int):
        return address or None
    return f"{address}:{port}"


def _finish(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    raw = _text(value)
    return None if raw is None else _FINISH.get(raw.lower(), "other")


def _id_in_output(attributes: Mapping[str, Any]) -> str | None:
    """OpenInference has no attribute for a response's id, but keeps the response: it begins with its id."""
    output = attributes.get(OpenInference.OUTPUT_VALUE)
    found = _FIRST_ID.match(output[:1000]) if isinstance(output, str) else None
    return found[1] if found is not None else None


def _tool_name(span_name: str, given: str | None) -> str:
    if given is not None:
        return given
    for prefix in (Mcp.SPAN_PREFIX, f"{Mcp.CALL_TOOL} ", "execute_tool "):
        if span_name.startswith(prefix):
            return span_name.removeprefix(prefix)
    return span_name


def _arguments(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > 200_000:
        return None
    try:
        arguments = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return canonical(arguments) if isinstance(arguments, dict) else None

"""What is known about packages that call models: by which transport, whether we see it, and what to do where not.

One table, in the order in which it is printed. A package has one row per range of versions that behaves differently;
the first row that fits counts. A module of its own because it changes with the world and not with the code.

Tried against the scripted provider were the packages that ``--selftest`` and the programs of ``benchmarks/agents``
call. The other rows hold what is known of a package's transport: they were not tried, and a release can prove one
wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

SEEN, PARTLY, UNSEEN, BESIDE, HAZARD = "seen", "partly", "not seen", "beside us", "problem"
"""Verdicts: every call, some ways of calling, none; another tracer that shares the process; versions that don't fit."""

Version: TypeAlias = tuple[int, ...]

SDK, FRAMEWORK, TRANSPORT, TRACER = "SDK", "framework", "transport", "tracer"
"""Kinds. A transport is no client of a model by itself: its verdict counts only if an agent calls a model with it."""


@dataclass(frozen=True, slots=True)
class Known:
    """One package, or a family of them."""

    package: str
    """Normalised name of the distribution; ``*`` stands for any text."""
    kind: str
    transport: str
    verdict: str
    advice: str = ""
    """What is missing and what to do; empty where there is nothing to do."""
    since: Version = ()
    before: Version = ()
    needs: str = ""
    """Package without which the row does not apply."""


_TO_OPENAI = "call it through its OpenAI-compatible endpoint with the openai SDK"
_BEDROCK = "Bedrock through botocore is not seen; call its OpenAI-compatible endpoint with the openai SDK"
_GRPC = "gRPC is not seen"
_HTTP = "httpx"
_HTTP2 = "httpx2"
_RUNS_HERE = "runs models inside this process; serve them over HTTP and call that with the openai SDK"
_CLI = "a program of its own makes the requests, in a process that is no Python; its calls can't be seen from here"
_SERVER = "a client's tool calls are seen; calls that a server makes are only where its own process is traced, too"
_BESIDE = "both record each call, each once, in places of their own"

TABLE: tuple[Known, ...] = (
    Known("openai", SDK, _HTTP2, SEEN, "the Realtime API goes over a WebSocket and is not seen", since=(3,)),
    Known("openai", SDK, _HTTP, SEEN, "the Realtime API goes over a WebSocket and is not seen", since=(1,)),
    Known("openai", SDK, "requests", UNSEEN, "upgrade openai to 1 or newer", before=(1,)),
    Known("anthropic", SDK, _HTTP2, SEEN, "AnthropicBedrock's own paths are not read as calls", since=(2,)),
    Known("anthropic", SDK, "httpx2 or httpx", SEEN, "AnthropicBedrock's own paths are not read as calls"),
    Known("google-genai", SDK, "httpx2, httpx or aiohttp", SEEN, "the Live API goes over a WebSocket and is not seen"),
    Known("google-generativeai", SDK, "gRPC", UNSEEN, f"{_GRPC}; use google-genai, which replaced it"),
    Known("google-cloud-aiplatform", SDK, "gRPC", PARTLY, f"{_GRPC}; use google-genai with vertexai=True"),
    Known("vertexai", SDK, "gRPC", UNSEEN, f"{_GRPC}; use google-genai with vertexai=True"),
    Known("mistralai", SDK, "httpx2 or httpx", SEEN),
    Known("ollama", SDK, _HTTP, SEEN),
    Known("litellm", SDK, "httpx, async over aiohttp", SEEN, "routes of its Rust bridge (LITELLM_RUST) are not seen"),
    Known("groq", SDK, _HTTP, SEEN),
    Known("cerebras-cloud-sdk", SDK, _HTTP, SEEN),
    Known("together", SDK, _HTTP, SEEN, since=(2,)),
    Known("together", SDK, "requests, aiohttp", UNSEEN, "upgrade together to 2 or newer", before=(2,)),
    Known("fireworks-ai", SDK, "httpx, aiohttp", SEEN),
    Known("cohere", SDK, _HTTP, UNSEEN, f"its own wire format is not read; {_TO_OPENAI}"),
    Known("voyageai", SDK, "requests, async over aiohttp", PARTLY, "only the async client is seen"),
    Known("huggingface-hub", SDK, "httpx2 or httpx", SEEN, since=(1,)),
    Known("huggingface-hub", SDK, "requests", UNSEEN, "upgrade huggingface_hub to 1 or newer", before=(1,)),
    Known("replicate", SDK, _HTTP, UNSEEN, f"its own wire format is not read; {_TO_OPENAI}"),
    Known("xai-sdk", SDK, "gRPC", UNSEEN, f"{_GRPC}; {_TO_OPENAI}"),
    Known("zhipuai", SDK, _HTTP, SEEN),
    Known("dashscope", SDK, "requests, aiohttp", UNSEEN, _TO_OPENAI),
    Known("ibm-watsonx-ai", SDK, _HTTP, UNSEEN, f"its own wire format is not read; {_TO_OPENAI}"),
    Known("claude-agent-sdk", SDK, "subprocess", UNSEEN, _CLI),
    Known("claude-code-sdk", SDK, "subprocess", UNSEEN, _CLI),
    Known("openai-codex-sdk", SDK, "subprocess", UNSEEN, _CLI),
    Known("vllm", SDK, "in this process", UNSEEN, _RUNS_HERE),
    Known("llama-cpp-python", SDK, "in this process", UNSEEN, _RUNS_HERE),
    Known("langchain-openai", FRAMEWORK, "the openai SDK", SEEN),
    Known("langchain-anthropic", FRAMEWORK, "the anthropic SDK", SEEN),
    Known("langchain-mistralai", FRAMEWORK, _HTTP, SEEN),
    Known("langchain-groq", FRAMEWORK, "the groq SDK", SEEN),
    Known("langchain-ollama", FRAMEWORK, "the ollama SDK", SEEN),
    Known("langchain-litellm", FRAMEWORK, "litellm", SEEN),
    Known("langchain-google-genai", FRAMEWORK, "google-genai", SEEN, since=(4,)),
    Known("langchain-google-genai", FRAMEWORK, "gRPC", UNSEEN, f"{_GRPC}; upgrade it to 4 or newer", before=(4,)),
    Known("langchain-google-vertexai", FRAMEWORK, "gRPC", PARTLY, f"{_GRPC}; use langchain-google-genai 4 or newer"),
    Known("langchain-aws", FRAMEWORK, "botocore", UNSEEN, _BEDROCK),
    Known("langchain-cohere", FRAMEWORK, "the cohere SDK", UNSEEN, f"its own wire format is not read; {_TO_OPENAI}"),
    Known("langchain-xai", FRAMEWORK, "the openai SDK", SEEN),
    Known("langchain-community", FRAMEWORK, "many", PARTLY, "prefer the provider's own langchain package"),
    Known("langchain", FRAMEWORK, "its provider packages", SEEN),
    Known("langchain-core", FRAMEWORK, "its provider packages", SEEN),
    Known("langgraph", FRAMEWORK, "langchain's", SEEN),
    Known("openai-agents", FRAMEWORK, "the openai SDK", SEEN, "Realtime and voice agents use a WebSocket: not seen"),
    Known("pydantic-ai", FRAMEWORK, "the provider's SDK", SEEN),
    Known("pydantic-ai-slim", FRAMEWORK, "the provider's SDK", SEEN, "its Bedrock models use botocore: not seen"),
    Known("crewai", FRAMEWORK, "the provider's SDK, litellm", SEEN),
    Known("smolagents", FRAMEWORK, "the openai SDK, litellm", SEEN, "models that run in this process are not seen"),
    Known("llama-index-llms-bedrock*", FRAMEWORK, "botocore", UNSEEN, _BEDROCK),
    Known("llama-index-llms-vertex", FRAMEWORK, "gRPC", UNSEEN, f"{_GRPC}; use llama-index-llms-google-genai"),
    Known("llama-index-llms-openai", FRAMEWORK, "the openai SDK", SEEN),
    Known("llama-index-core", FRAMEWORK, "the provider's SDK", SEEN),
    Known("dspy", FRAMEWORK, "its own sockets, litellm", SEEN),
    Known("autogen-agentchat", FRAMEWORK, "the provider's SDK", SEEN),
    Known("autogen-ext", FRAMEWORK, "the provider's SDK", SEEN),
    Known("ag2", FRAMEWORK, "the provider's SDK", SEEN),
    Known("ag2-classic", FRAMEWORK, "the provider's SDK", SEEN),
    Known("instructor", FRAMEWORK, "the provider's SDK", SEEN),
    Known("haystack-ai", FRAMEWORK, "the provider's SDK", SEEN),
    Known("semantic-kernel", FRAMEWORK, "the provider's SDK", PARTLY, "its Bedrock and Vertex connectors are not seen"),
    Known("agno", FRAMEWORK, "the provider's SDK", SEEN),
    Known("google-adk", FRAMEWORK, "google-genai, litellm", SEEN),
    Known("strands-agents", FRAMEWORK, "botocore by default", PARTLY, f"{_BEDROCK}, or choose another model class"),
    Known("aider-chat", FRAMEWORK, "litellm", SEEN),
    Known("mcp", FRAMEWORK, "httpx2, pipes", SEEN, _SERVER),
    Known("fastmcp", FRAMEWORK, "httpx2, pipes", SEEN, _SERVER),
    Known("httpx2", TRANSPORT, _HTTP2, SEEN),
    Known("httpx", TRANSPORT, _HTTP, SEEN),
    Known("aiohttp", TRANSPORT, "aiohttp", SEEN),
    Known("boto3", TRANSPORT, "botocore", UNSEEN, _BEDROCK),
    Known("aiobotocore", TRANSPORT, "aiohttp, signed", UNSEEN, _BEDROCK),
    Known("requests", TRANSPORT, "urllib3", UNSEEN, "send requests to models with httpx, or use the provider's SDK"),
    Known("urllib3", TRANSPORT, "urllib3", UNSEEN, "send requests to models with httpx, or use the provider's SDK"),
    Known("grpcio", TRANSPORT, "gRPC", UNSEEN, "use the provider's HTTP client"),
    Known("websockets", TRANSPORT, "WebSocket", UNSEEN, "realtime sessions are not seen; their other calls are"),
    Known("opentelemetry-instrumentation-httpx", TRACER, "", BESIDE, "we use it for tools' requests", since=(0, 65)),
    Known(
        "opentelemetry-instrumentation-httpx", TRACER, "", HAZARD,
        "knows no httpx2 before 0.65b0, so the HTTP requests of tools are not recorded; upgrade it",
        before=(0, 65), needs="httpx2",
    ),
    Known("opentelemetry-instrumentation-genai-*", TRACER, "", BESIDE, _BESIDE),
    Known("opentelemetry-instrumentation-google-genai", TRACER, "", BESIDE, _BESIDE),
    Known("opentelemetry-instrumentation-openai-v2", TRACER, "", BESIDE, "renamed to ...-genai-openai; it needs httpx"),
    Known("opentelemetry-instrumentation-openai", TRACER, "OpenLLMetry", BESIDE, _BESIDE),
    Known("opentelemetry-instrumentation-anthropic", TRACER, "OpenLLMetry", BESIDE, _BESIDE),
    Known("traceloop-sdk", TRACER, "OpenLLMetry", BESIDE, _BESIDE),
    Known("openinference-instrumentation*", TRACER, "OpenInference", BESIDE, _BESIDE),
    Known("ddtrace", TRACER, "", BESIDE, "start it outside of us: `ddtrace-run trimtab run -- python agent.py`"),
    Known("langfuse", TRACER, "", BESIDE, _BESIDE),
    Known("langsmith", TRACER, "", BESIDE, _BESIDE),
    Known("logfire", TRACER, "", BESIDE, _BESIDE),
    Known("mlflow*", TRACER, "", BESIDE, _BESIDE),
    Known("arize-phoenix-otel", TRACER, "", BESIDE, _BESIDE),
    Known("opik", TRACER, "", BESIDE, _BESIDE),
    Known("weave", TRACER, "", BESIDE, _BESIDE),
    Known("braintrust", TRACER, "", BESIDE, _BESIDE),
    Known("lmnr", TRACER, "", BESIDE, _BESIDE),
    Known("openlit", TRACER, "", BESIDE, _BESIDE),
    Known("agentops", TRACER, "", BESIDE, _BESIDE),
    Known("sentry-sdk", TRACER, "", BESIDE, _BESIDE),
)  # fmt: skip

PROGRAMS: tuple[tuple[str, str], ...] = (
    ("claude", "Claude Code"),
    ("codex", "Codex"),
    ("gemini", "Gemini CLI"),
    ("qwen", "Qwen Code"),
)
"""Agents that are programs of their own: a process that starts one does not make its requests."""

RULES: tuple[tuple[str, Version, str, str], ...] = (
    ("openai", (3,), "httpx2", "openai 3 sends through httpx2, which is not installed; reinstall openai"),
    ("anthropic", (2,), "httpx2", "anthropic 2 sends through httpx2, which is not installed; reinstall anthropic"),
)
"""Package, from which version on, what it then needs, and what to say where that is missing."""


def version_of(text: str) -> Version:
    """The leading numbers of a version: ``0.65b0`` is (0, 65)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def find(package: str, version: str, installed: frozenset[str]) -> Known | None:
    """The row about an installed package, or None where nothing is known of it.

    Args:
        package: Its normalised name.
        version: Its version.
        installed: Normalised names of everything beside it.
    """
    numbers = version_of(version)
    for row in TABLE:
        fits = row.package == package or ("*" in row.package and fnmatchcase(package, row.package))
        if not fits or (row.since and numbers < row.since) or (row.before and numbers >= row.before):
            continue
        if not row.needs or row.needs in installed:
            return row
    return None

"""The wire formats, and which of them a path belongs to.

In: a method and a path. Out: the :class:`~.base.Format` that answers it, or, for an unknown path, the one whose error
envelope a client of that path would understand. Paths are matched by their end, so that any prefix of a gateway or an
Azure deployment works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from .anthropic_messages import AnthropicMessages
from .base import Format
from .gemini import Gemini
from .ollama import OllamaChat, OllamaEmbed, OllamaGenerate
from .openai_chat import OpenAIChat
from .openai_embeddings import OpenAIEmbeddings
from .openai_responses import OpenAIResponses

_CHAT, _ANTHROPIC, _GEMINI, _OLLAMA = OpenAIChat(), AnthropicMessages(), Gemini(), OllamaChat()

_ROUTES: tuple[tuple[re.Pattern[str], Format], ...] = tuple(
    (re.compile(pattern), fmt)
    for pattern, fmt in (
        (r"(?:/deployments/(?P<model>[^/]+))?/chat/completions$", _CHAT),
        (r"/responses$", OpenAIResponses()),
        (r"(?:/deployments/(?P<model>[^/]+))?/embeddings$", OpenAIEmbeddings()),
        (r"/messages$", _ANTHROPIC),
        (r"/models/(?P<model>[^/:]+):(?P<action>generateContent|streamGenerateContent)$", _GEMINI),
        (r"/api/chat$", _OLLAMA),
        (r"/api/generate$", OllamaGenerate()),
        (r"/api/embed$", OllamaEmbed()),
    )
)


class Route(NamedTuple):
    """The endpoint behind a path, and what the path itself says."""

    format: Format
    path: Mapping[str, str]


def route(path: str) -> Route | None:
    """The endpoint behind ``path`` (without query); None for an unknown path."""
    for pattern, fmt in _ROUTES:
        if match := pattern.search(path):
            return Route(fmt, {k: v for k, v in match.groupdict().items() if v is not None})
    return None


def nearest(path: str, headers: Mapping[str, str]) -> Format:
    """The API that a client of an unknown ``path`` most likely speaks."""
    if "anthropic-version" in headers or "/messages" in path:
        return _ANTHROPIC
    if "x-goog-api-key" in headers or "/v1beta" in path or ":" in path.rpartition("/")[2]:
        return _GEMINI
    if path.startswith("/api/") and "/v1/" not in path:
        return _OLLAMA
    return _CHAT

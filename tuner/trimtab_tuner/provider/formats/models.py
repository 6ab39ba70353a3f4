"""The lists of models that each API offers.

In: method, path and headers of a request, and the scenario's models. Out: the list in the shape of the API that
the path or the headers belong to, or None where the path is no such list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

SAMPLE = ("scripted-model",)
"""What is listed where the scenario names no models (it answers to any name then)."""

OLLAMA_VERSION = "0.0.0-scripted"
"""Answer of ``/api/version``."""


def model_listing(
    method: str, path: str, headers: Mapping[str, str], models: Sequence[str], created_s: int
) -> dict[str, Any] | None:
    """The list (or the one model) behind ``path``."""
    names = tuple(models) or SAMPLE
    if method == "POST" and path.endswith("/api/show"):  # some clients ask before every call
        return {"details": {"family": "scripted"}, "model_info": {}, "capabilities": ["completion", "tools"]}
    if method != "GET":
        return None
    if path.endswith("/api/version"):
        return {"version": OLLAMA_VERSION}
    if path.endswith("/api/tags"):
        return {"models": [{"name": n, "model": n, "size": 0, "digest": "scripted"} for n in names]}
    match = re.search(r"/(?P<api>v1|v1beta|v1alpha)/models(?:/(?P<name>[^?]+))?$", path)
    if match is None or (match["name"] is not None and models and match["name"] not in models):
        return None
    listed = names if match["name"] is None else (match["name"],)
    if match["api"] != "v1" or "x-goog-api-key" in headers:
        shaped, key = [_gemini(n) for n in listed], "models"
    elif "anthropic-version" in headers:
        shaped, key = [_anthropic(n, created_s) for n in listed], "data"
    else:
        shaped, key = (
            [{"id": n, "object": "model", "created": created_s, "owned_by": "scripted"} for n in listed],
            "data",
        )
    if match["name"] is not None:
        return shaped[0]
    if key == "models":
        return {"models": shaped}
    if "anthropic-version" in headers:
        return {"data": shaped, "has_more": False, "first_id": listed[0], "last_id": listed[-1]}
    return {"object": "list", "data": shaped}


def _anthropic(name: str, created_s: int) -> dict[str, Any]:
    created = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": f"{name} (scripted)", "created_at": created}


def _gemini(name: str) -> dict[str, Any]:
    methods = ["generateContent", "streamGenerateContent"]
    return {"name": f"models/{name}", "displayName": f"{name} (scripted)", "supportedGenerationMethods": methods}

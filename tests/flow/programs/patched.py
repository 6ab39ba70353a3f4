"""Prints, as JSON, which attributes differ from the start: while tracing is on, and after it was turned off."""

import asyncio
import concurrent.futures
import importlib
import inspect
import json
import os
import sys
import threading

import anthropic
import httpx
import httpx2
import openai

import trimtab

MODULES = (
    "anthropic._base_client", "anthropic._models", "asyncio", "asyncio.base_events", "asyncio.tasks", "builtins",
    "concurrent.futures.thread", "contextvars", "httpcore", "httpx", "httpx2", "multiprocessing.process",
    "openai._base_client", "openai._models", "os", "socket", "ssl", "sys", "threading",
)  # fmt: skip
VOLATILE = {"_abc_impl", "__dict__", "__weakref__", "last_type", "last_value", "last_traceback", "last_exc"}


def attributes() -> dict[str, int]:
    """Identity of every attribute of the modules and of the classes in them."""
    seen = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, value in list(vars(module).items()):
            if attribute.startswith("_") and not callable(value):
                continue
            if callable(value):
                seen[f"{name}.{attribute}"] = id(value)
            if inspect.isclass(value):
                for member, inner in list(vars(value).items()):
                    if member not in VOLATILE:
                        seen[f"{name}.{attribute}.{member}"] = id(inner)
    seen["sys.meta_path"] = hash(tuple(map(id, sys.meta_path)))
    seen["sys.path_hooks"] = hash(tuple(map(id, sys.path_hooks)))
    return seen


def difference(before: dict[str, int]) -> list[str]:
    """What is not as it was."""
    after = attributes()
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def ask() -> None:
    """Use everything that is hooked, so that whatever is hooked late is hooked too."""
    messages = [{"role": "user", "content": "Hello"}]
    openai.OpenAI().chat.completions.create(model="gpt-5-mini", messages=messages)
    anthropic.Anthropic().messages.create(model="claude-haiku-4-5", messages=messages, max_tokens=9)
    for module in (httpx, httpx2):
        module.get(os.environ["ANTHROPIC_BASE_URL"] + "/v1/models")
    asyncio.run(asyncio.sleep(0))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(ask_nothing).result()


def ask_nothing() -> None:
    """Run in a thread."""


ask()
untouched = attributes()
idle = threading.active_count()
trimtab.instrument()
ask()
during = difference(untouched)
trimtab.uninstrument()
ask()
after = difference(untouched)
print(json.dumps({"during": during, "after": after, "threads": threading.active_count() - idle}))

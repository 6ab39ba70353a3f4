"""``trimtab doctor --selftest``: one real call with each installed SDK, to see whether it is captured.

In: an interpreter and its packages. Out: one mapping per SDK tried: whether what the scripted provider answered is what
the spool holds, each call once, with the line that made it. Every SDK runs in a process of its own under the
environment that ``trimtab run`` gives, so an SDK that is broken costs its own line only. Nothing but the loopback is
asked. Registered in the entry-point group ``trimtab.selftest``, because the door may not import this package.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.launch import environment
from trimtab_tracer.records import Attempt, Site
from trimtab_tracer.segments import list_segments, read_segment

TIMEOUT_S = 60
"""Longest that one SDK may take to import and to make its call."""
KEY = "trimtab-selftest"
"""What the SDKs are given for a key; the scripted provider asks for none."""


class Probe(NamedTuple):
    """How an SDK makes one call; ``URL`` is where to."""

    package: str
    code: str


_CHAT = "c.chat.completions.create(model='gpt-5', messages=[{'role': 'user', 'content': 'Hello?'}])"
PROBES: tuple[Probe, ...] = (
    Probe("openai", f"import openai; c = openai.OpenAI(base_url=URL + '/v1', api_key=KEY)\n{_CHAT}"),
    Probe(
        "anthropic",
        "import anthropic; c = anthropic.Anthropic(base_url=URL, api_key=KEY)\n"
        "c.messages.create(model='claude-sonnet-5', max_tokens=9, messages=[{'role': 'user', 'content': 'Hello?'}])",
    ),
    Probe(
        "google-genai",
        "from google import genai; c = genai.Client(api_key=KEY, http_options={'base_url': URL})\n"
        "c.models.generate_content(model='gemini-3-pro', contents='Hello?')",
    ),
    Probe(
        "mistralai",
        "try: from mistralai import Mistral\nexcept ImportError: from mistralai.client import Mistral\n"
        "c = Mistral(api_key=KEY, server_url=URL)\n"
        "c.chat.complete(model='mistral-large', messages=[{'role': 'user', 'content': 'Hello?'}])",
    ),
    Probe(
        "ollama",
        "import ollama; c = ollama.Client(host=URL)\n"
        "c.chat(model='llama4', messages=[{'role': 'user', 'content': 'Hello?'}])",
    ),
    Probe("groq", f"import groq; c = groq.Groq(base_url=URL, api_key=KEY)\n{_CHAT}"),
    Probe("together", f"import together; c = together.Together(base_url=URL + '/v1', api_key=KEY)\n{_CHAT}"),
    Probe(
        "litellm",
        "import litellm\nlitellm.completion(model='openai/gpt-5', api_base=URL + '/v1', api_key=KEY,"
        " messages=[{'role': 'user', 'content': 'Hello?'}])",
    ),
    Probe(
        "litellm (async)",
        "import asyncio, litellm\nasync def main():\n"
        "    await litellm.acompletion(model='openai/gpt-5', api_base=URL + '/v1', api_key=KEY,"
        " messages=[{'role': 'user', 'content': 'Hello?'}])\nasyncio.run(main())",
    ),
    Probe(
        "langchain-openai",
        "from langchain_openai import ChatOpenAI\n"
        "ChatOpenAI(model='gpt-5', base_url=URL + '/v1', api_key=KEY).invoke('Hello?')",
    ),
    Probe(
        "langchain-anthropic",
        "from langchain_anthropic import ChatAnthropic\n"
        "ChatAnthropic(model='claude-sonnet-5', base_url=URL, api_key=KEY).invoke('Hello?')",
    ),
    Probe(
        "dspy",
        "import dspy\ndspy.LM('openai/gpt-5', api_base=URL + '/v1', api_key=KEY, cache=False)('Hello?')",
    ),
)
"""One call each, as its documentation shows it."""

QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "OTEL_SDK_DISABLED": "true",
    "NO_PROXY": "*",
}
"""Variables that keep SDKs from calling home meanwhile."""


def selftest(python: str, packages: dict[str, str]) -> list[dict[str, Any]]:
    """Try every SDK that is installed.

    Args:
        python: The interpreter to run.
        packages: Version by normalised name, of what is installed for it.

    Returns:
        One mapping per SDK: ``name``, ``ok``, ``requests`` (the provider's count), ``captured`` (ours), ``text``.
    """
    from .provider import Provider, Scenario

    tried = []
    for probe in PROBES:
        if probe.package.partition(" ")[0] not in packages:
            continue
        scenario = Scenario.from_dict({"rules": [{"text": "Hello."}]})
        with Provider(scenario) as provider, tempfile.TemporaryDirectory(prefix="trimtab-selftest-") as folder:
            tried.append(_try(python, probe, provider.url, Path(folder), lambda log=provider.log: len(log.entries)))
    return tried


def _try(python: str, probe: Probe, url: str, folder: Path, count: Any) -> dict[str, Any]:
    script = folder / "selftest.py"
    script.write_text(f"URL, KEY = {url!r}, {KEY!r}\n{probe.code}\n", encoding="utf-8")
    home = folder / "home"
    base = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    env = environment(base | QUIET, {"TRIMTAB_HOME": str(home), "TRIMTAB_DISABLED": "0"})
    said = ""
    try:
        done = subprocess.run(
            [python, script.name], cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        said = f"it did not end within {TIMEOUT_S} s"
    sites, captured = _captured(home)
    return {"name": probe.package, **_judged(count(), captured, sites, said)}


def _captured(home: Path) -> tuple[list[str], int]:
    """Files of the sites of the attempts in a home, and how many attempts there are."""
    lines = [line.record for path in list_segments(home / "spool") for line in read_segment(path)]
    files = {record.site_id: record.file for record in lines if isinstance(record, Site)}
    attempts = [record for record in lines if isinstance(record, Attempt)]
    return [files.get(attempt.site_id, "") for attempt in attempts], len(attempts)


def _judged(requests: int, captured: int, sites: list[str], said: str) -> dict[str, Any]:
    if requests == 0:
        text = f"it made no call: {said}" if said else "it made no call to the address it was given"
    elif captured < requests:
        text = f"{requests - captured} of {requests} requests were not captured"
    elif captured > requests:
        text = f"{requests} requests were recorded as {captured}"
    elif any(not site.endswith("selftest.py") for site in sites):
        text = f"captured, but pinned to {', '.join(sorted(set(sites)))} and not to the line that called"
    else:
        text = f"captured, {'once' if requests == 1 else f'{requests} requests'}, pinned to its line"
        failed = f"; the SDK did not like the scripted answer: {said}" if said else ""
        return {"ok": True, "requests": requests, "captured": captured, "text": text + failed}
    return {"ok": False, "requests": requests, "captured": captured, "text": text}

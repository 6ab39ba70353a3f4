"""The agent of benchmarks/tune_live.py: asks each prompt of a file once, with the openai SDK, and says what came of it.

    python agent.py PROMPTS.json MODEL URL

It knows nothing of experiments. ``trimtab.instrument()`` is its only line of ours besides naming its runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import openai

import trimtab

trimtab.instrument(service="replayed")


def main(prompts: Path, model: str, url: str) -> None:
    """One run per prompt."""
    client = openai.OpenAI(base_url=url, api_key="replayed")
    for prompt in json.loads(prompts.read_text()):
        with trimtab.run("answer", task=prompt["qid"], source=prompt["source"]) as run:
            messages = [{"role": "user", "content": f"{prompt['qid']} {prompt['text']}"}]
            answer = client.chat.completions.create(model=model, messages=messages)
            run.outcome(score=float(answer.choices[0].message.content.split()[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])

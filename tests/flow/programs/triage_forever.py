"""An agent that never ends: every run sorts one message in two steps, and prints whether it got through.

It stops when the file named by its argument exists. Nothing in it changes while it runs, and it is never started again.
"""

import sys
import time
from pathlib import Path

from anthropic import Anthropic, APIStatusError

import trimtab

trimtab.instrument(service="triage")
client = Anthropic(max_retries=0, timeout=20.0)
stop = Path(sys.argv[1])


def sort_message(text: str) -> str:
    label = client.messages.create(
        model="claude-haiku-4-5", max_tokens=6, messages=[{"role": "user", "content": f"Label: {text}"}]
    )
    answer = client.messages.create(
        model="claude-opus-4-5", max_tokens=300, messages=[{"role": "user", "content": f"Answer: {text}"}]
    )
    return f"{label.content[0].text} {answer.content[0].text}"


number = 0
while not stop.exists() and number < 2000:
    number += 1
    begun_ns = time.time_ns()
    try:
        with trimtab.run("triage"):
            said = sort_message(f"message {number}")
    except APIStatusError as error:
        print(begun_ns, "failed", error.status_code, flush=True)
    else:
        print(begun_ns, "ok", said, flush=True)
    time.sleep(0.2)

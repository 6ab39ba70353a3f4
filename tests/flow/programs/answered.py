"""Asks twice and says so, then waits to be killed: nothing of it has time to end."""

import sys
import time

import openai

import trimtab

trimtab.instrument()
client = openai.OpenAI()


def ask(question: str) -> str:
    """One question."""
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="gpt-5-mini", messages=messages).choices[0].message.content


if __name__ == "__main__":
    ask("the first question")
    trimtab.flush()  # a sidecar, if there is one, is found
    ask("the last question")
    sys.stdout.write("answered\n")
    sys.stdout.flush()
    time.sleep(60)

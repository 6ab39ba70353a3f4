"""Talks without end, plainly and streamed, in two threads; says on stdout which answers it has got."""

import os
import sys
import threading

import openai

import trimtab

trimtab.instrument()
client = openai.OpenAI()


def talk(speaker: str) -> None:
    """Ask forever."""
    number = 0
    while True:
        number += 1
        question = f"{speaker} of {os.getpid()} asks for the {number}th time"
        messages = [{"role": "user", "content": question}]
        if number % 2:
            answer = client.chat.completions.create(model="gpt-5-mini", messages=messages)
            response_id = answer.id
        else:
            chunks = list(client.chat.completions.create(model="gpt-5-mini", messages=messages, stream=True))
            response_id = chunks[0].id
        # One write, so that a line is either there or not.
        os.write(sys.stdout.fileno(), f"{response_id}\n".encode())


if __name__ == "__main__":
    threading.Thread(target=talk, args=["ada"], daemon=True).start()
    talk("bob")

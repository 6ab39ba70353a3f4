"""Asks three times while one function of ours (the argument) never returns in our own thread; then ends."""

import sys
import threading
from types import FrameType

import openai

import trimtab

name = sys.argv[1]


def stop_in_writer(frame: FrameType, event: str, _: object) -> None:
    """Let our own thread go no further than the function's beginning."""
    is_ours = threading.current_thread().name == "trimtab-writer"
    if is_ours and event == "call" and frame.f_code.co_qualname == name:
        print("hangs", file=sys.stderr, flush=True)
        threading.Event().wait()


threading.settrace(stop_in_writer)
trimtab.instrument()
client = openai.OpenAI()
for number in range(3):
    question = [{"role": "user", "content": f"Question {number}"}]
    print(client.chat.completions.create(model="gpt-5-mini", messages=question).choices[0].message.content, flush=True)

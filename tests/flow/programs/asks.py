"""Asks a model once over plain httpx, prints what it was started with, and exits with 3."""

import os
import sys

import httpx


def ask() -> None:
    """One request; its line is the site."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello?"}]}
    httpx.post(f"{os.environ['OPENAI_BASE_URL']}/chat/completions", json=body)


if __name__ == "__main__":
    ask()
    print(sys.argv[1:], sys.flags.isolated, sys.stdin.read(), sys.path)
    sys.exit(3)

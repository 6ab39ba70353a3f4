"""Asks in a parent, in a forked child, in children of multiprocessing of both kinds, and in the parent again."""

import multiprocessing
import os

import openai

import trimtab

trimtab.instrument()


def ask(who: str) -> None:
    """One question with a client of its own."""
    answer = openai.OpenAI().chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": who}])
    print(who, "got", answer.choices[0].message.content, flush=True)


if __name__ == "__main__":
    ask("parent before")
    pid = os.fork()
    if pid == 0:
        ask("forked child")
        os._exit(0)
    os.waitpid(pid, 0)
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=ask, args=[f"{method} child"])
        child.start()
        child.join()
        assert child.exitcode == 0
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(ask, ["pool one", "pool two"])
        pool.close()
        pool.join()
    ask("parent after")

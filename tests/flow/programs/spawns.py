"""Asks a model in two processes that multiprocessing spawns, and once itself."""

import multiprocessing

from asks import ask

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.apply(ask)
    process = context.Process(target=ask)
    process.start()
    process.join()
    ask()

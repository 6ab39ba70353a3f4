"""Ends with an exception nobody caught, while one function of ours (the argument) raises, if it is called."""

import sys
from types import FrameType

import trimtab

trimtab.instrument()
trimtab.knob("depth", 3)


def raise_in(name: str) -> None:
    """Make the function raise where it begins."""

    def trace(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_qualname == name:
            print("raised", flush=True)
            raise RuntimeError(name)

    sys.settrace(trace)


raise_in(sys.argv[1])
raise ValueError("the agent's own")

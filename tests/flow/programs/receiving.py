"""The part of the sidecar that listens in a home, alone: says so, and ends with its standard input.

Arguments: the home; with `slowly`, each attempt takes a while.
"""

import sys
import time
from pathlib import Path

from trimtab_tracer.exchange import ExchangeBuilder
from trimtab_tracer.receiver import Receiver
from trimtab_tracer.settings import Settings

if __name__ == "__main__":
    if "slowly" in sys.argv:
        build = ExchangeBuilder.build

        def slow_build(self, captured):
            """As always, later."""
            time.sleep(0.01)
            return build(self, captured)

        ExchangeBuilder.build = slow_build
    receiver = Receiver.open(Settings(home=Path(sys.argv[1])))
    receiver.start()
    print("listens", flush=True)
    sys.stdin.read()
    receiver.stop()
    print(receiver.attempts, flush=True)

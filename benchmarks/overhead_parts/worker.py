"""One subject at work: started in its environment, told over stdin what to measure, answers with a line of JSON.

    worker.py SWITCH URL              then lines {"what": "call", "count": 40}
    worker.py SWITCH URL --start-up   one line: what switching on adds after `import openai`

While another subject has its turn this process waits for a line, so that subjects can take turns call by call.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

IN_FLIGHT = 32
SMALL, LARGE = 2_000, 200_000
_numbers = itertools.count()


def messages(size: int) -> Any:
    """A prompt of ``size`` bytes that no cache has seen."""
    text = f"{next(_numbers)} " + "lorem ipsum dolor: sit amet, consectetur {adipiscing} elit\n" * (size // 58 + 1)
    return [{"role": "user", "content": text[:size]}]


class Work:
    """Runs blocks of calls through the real SDK."""

    def __init__(self, url: str) -> None:
        import openai

        self._client = openai.OpenAI(base_url=url, api_key="none")
        self._url = url
        self._openai = openai

    def call(self) -> None:
        """One call of 2 kB."""
        self._client.chat.completions.create(model="gpt-4o", messages=messages(SMALL))

    def large(self) -> None:
        """One call of 200 kB."""
        self._client.chat.completions.create(model="gpt-4o", messages=messages(LARGE))

    def stream(self) -> None:
        """One stream of 200 chunks, read to its end."""
        for _ in self._client.chat.completions.create(model="gpt-4o", messages=messages(SMALL), stream=True):
            pass

    def timed(self, what: str, count: int) -> list[float]:
        """Microseconds of each of ``count`` calls."""
        one = getattr(self, what)
        times = []
        for _ in range(count):
            started = time.perf_counter()
            one()
            times.append((time.perf_counter() - started) * 1e6)
        return times

    def throughput(self, count: int) -> float:
        """Calls per second with 32 in flight."""
        return asyncio.run(self._gather(count))

    async def _gather(self, count: int) -> float:
        async with self._openai.AsyncOpenAI(base_url=self._url, api_key="none") as client:
            left = itertools.count(1)

            async def caller() -> None:
                while next(left) <= count:
                    await client.chat.completions.create(model="gpt-4o", messages=messages(SMALL))

            await asyncio.gather(*[caller() for _ in range(IN_FLIGHT)])  # connect
            left = itertools.count(1)
            started = time.perf_counter()
            await asyncio.gather(*[caller() for _ in range(IN_FLIGHT)])
            return count / (time.perf_counter() - started)


def decisions(count: int) -> list[float]:
    """Microseconds that what a policy orders for a call takes to find out."""
    from trimtab_tracer.instrument.switch import switch

    tracer = switch.active()
    assert tracer is not None
    site, run_id = tracer.sites.here(sys._getframe()), tracer.run_id()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        tracer.steering.plan(site, None, "gpt-4o", run_id)
        times.append((time.perf_counter() - started) * 1e6)
    return times


def is_beside_sidecar() -> bool:
    """Whether calls are handed over to a sidecar."""
    from trimtab_tracer.instrument.switch import switch

    tracer = switch.active()
    assert tracer is not None
    return tracer.writer.is_beside_sidecar


def serve(work: Work, flush: Any) -> None:
    """Carry out one block per line of stdin."""
    for line in sys.stdin:
        asked = json.loads(line)
        what, count = asked["what"], asked["count"]
        gc.collect()
        cpu = time.process_time()
        if what == "throughput":
            answer: dict[str, Any] = {"per_s": work.throughput(count)}
        elif what == "place":
            answer = {"is_beside_sidecar": is_beside_sidecar()}
        else:
            answer = {"us": decisions(count) if what == "decision" else work.timed(what, count)}
        flush()
        answer["cpu_us"] = (time.process_time() - cpu) * 1e6 / count
        print(json.dumps(answer), flush=True)


def resident_mib() -> float:
    """Memory of this process."""
    import resource

    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def start_up(switch: Any) -> dict[str, float]:
    """What switching on adds to a process that has imported openai and built a client."""
    import openai

    openai.OpenAI(api_key="none")
    memory, cpu, started = resident_mib(), time.process_time(), time.perf_counter()
    switch()
    wall_ms = (time.perf_counter() - started) * 1e3
    return {"ms": wall_ms, "cpu_ms": (time.process_time() - cpu) * 1e3, "mib": resident_mib() - memory}


def main() -> None:
    """See the module."""
    from switches import SWITCHES

    name, url = sys.argv[1:3]
    if "--start-up" in sys.argv:
        print(json.dumps(start_up(SWITCHES[name])))
        return
    flush = SWITCHES[name]()
    serve(Work(url), flush)


if __name__ == "__main__":
    main()

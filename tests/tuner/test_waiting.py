"""Waiting without a thread each: woken by a ring, by the time, by the end, and never too late."""

from __future__ import annotations

import asyncio
import threading

from trimtab_tuner.waiting import Bell


def test_what_is_there_already_is_found_at_once() -> None:
    """A look that finds something is not made twice, however long one would wait."""
    looks: list[int] = []

    def look() -> int:
        looks.append(1)
        return 7

    assert 7 == asyncio.run(Bell().until(look, 3600))
    assert [1] == looks


def test_without_a_ring_the_time_ends_it() -> None:
    """Nothing found within the time is None, after a look at the beginning and one at the end."""
    looks: list[int] = []
    assert asyncio.run(Bell().until(lambda: looks.append(1), 0.05)) is None
    assert [1, 1] == looks


def test_a_ring_from_any_thread_wakes_everyone() -> None:
    """Forty who wait look again after one ring, and all find what came."""
    bell, found = Bell(), list[str]()

    async def wait_and_ring() -> list[str | None]:
        waiting = [asyncio.create_task(bell.until(lambda: found[0] if found else None, 3600)) for _ in range(40)]
        await asyncio.sleep(0)

        def ring() -> None:
            found.append("news")
            bell.ring()

        threading.Thread(target=ring).start()
        return await asyncio.gather(*waiting)

    assert ["news"] * 40 == asyncio.run(wait_and_ring())


def test_a_ring_during_the_look_is_not_lost() -> None:
    """What changes while somebody looks is found by the next look, not after the whole time."""
    bell, looks = Bell(), list[int]()

    def look() -> int | None:
        looks.append(1)
        if len(looks) == 1:
            bell.ring()
            return None
        return len(looks)

    assert 2 == asyncio.run(bell.until(look, 3600))


def test_a_stopped_bell_lets_everyone_go() -> None:
    """Who waits when it stops, and who comes later, gets an answer now."""
    bell = Bell()

    async def wait_and_stop() -> list[None]:
        waiting = [asyncio.create_task(bell.until(lambda: None, 3600)) for _ in range(3)]
        await asyncio.sleep(0.01)
        threading.Thread(target=bell.stop).start()
        return [*await asyncio.gather(*waiting), await bell.until(lambda: None, 3600)]

    assert [None] * 4 == asyncio.run(wait_and_stop())


def test_nobody_is_remembered() -> None:
    """A ring after a loop has ended reaches nobody and raises nothing."""
    bell = Bell()
    asyncio.run(bell.until(lambda: None, 0))
    bell.ring()
    assert not bell._waiting

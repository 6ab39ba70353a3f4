"""How long somebody stays signed in."""

from __future__ import annotations

import pytest

from trimtab_dashboard.sessions import Sessions

HALF_A_DAY_S = 12 * 3600


class Clock:
    """Seconds that go forward when told to."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock at zero."""
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    """No sessions yet."""
    return Sessions(clock)


def test_a_session_is_found_by_its_cookie_only(sessions: Sessions) -> None:
    """Two people have two cookies; anything else is nobody."""
    ida, bo = sessions.open("Ida"), sessions.open("Bo")
    assert ["Ida", "Bo"] == [session.name for cookie in (ida, bo) if (session := sessions.find(cookie))]
    assert [None] * 4 == [sessions.find(cookie) for cookie in (None, "", ida[:-1], "\udcff")]


def test_the_cookie_is_kept_nowhere(sessions: Sessions) -> None:
    """What a session knows of its cookie is a digest."""
    cookie = sessions.open("Ida")
    session = sessions.find(cookie)
    assert session is not None
    assert cookie not in repr(session)


def test_a_session_ends_after_half_a_day_without_its_person(sessions: Sessions, clock: Clock) -> None:
    """Each sign of life starts the time anew; without one it is over, and what was open for it ends."""
    cookie = sessions.open("Ida")
    session = sessions.find(cookie)
    assert session is not None
    for _ in range(3):
        clock.now_s += HALF_A_DAY_S - 1
        assert sessions.find(cookie) is session
        sessions.touch(session)
    clock.now_s += HALF_A_DAY_S
    assert sessions.find(cookie) is None
    assert session.ended.is_set()


def test_signing_out_ends_one_session(sessions: Sessions) -> None:
    """The others stay; signing out twice is nothing."""
    ida, bo = sessions.open("Ida"), sessions.open("Bo")
    for cookie in (ida, ida, None, "unknown"):
        sessions.close(cookie)
    assert [True, False] == [sessions.find(cookie) is None for cookie in (ida, bo)]


def test_there_is_a_bound(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many sessions the one that was idle longest ends."""
    monkeypatch.setattr(Sessions, "MOST", 3)
    cookies = [sessions.open(str(n)) for n in range(3)]
    first = sessions.find(cookies[0])
    assert first is not None
    sessions.touch(first)
    cookies.append(sessions.open("3"))
    assert [False, True, False, False] == [sessions.find(cookie) is None for cookie in cookies]

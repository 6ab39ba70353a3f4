"""What one attempt leaves behind travels as a line, and played again it is the same memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.memory import Journal, Memo, RunMemory, decode_memo, encode_memo
from trimtab_tracer.wire.facts import RequestFacts, ToolAnswer

TEXT = st.text(max_size=8)
CALLS = st.lists(st.tuples(st.none() | TEXT, TEXT), max_size=4).map(tuple)
SETUP = st.none() | st.tuples(st.none() | TEXT, st.none() | TEXT, st.lists(TEXT, max_size=3).map(tuple))
MEMOS = st.builds(
    Memo, TEXT, TEXT, CALLS, st.none() | TEXT, st.none() | TEXT, SETUP, st.lists(TEXT, max_size=3).map(tuple)
)


@given(MEMOS)
def test_a_memo_is_a_line(memo: Memo) -> None:
    """It comes back as it went, from one line."""
    line = encode_memo(memo)
    assert b"\n" not in line
    assert memo == decode_memo(line)


@given(st.lists(MEMOS, max_size=12))
def test_a_journal_played_again_is_the_same_memory(memos: list[Memo]) -> None:
    """Memories fed by the journal of this process and by its lines from another one are equal."""
    here, there = RunMemory(), RunMemory()
    journal, sent = Journal(), Journal()
    for memo in memos:
        journal.add(memo)
        here.recall(memo)
    for line in journal.lines():
        sent.add(line)
    for memo in sent:
        there.recall(memo)
    assert here == there


def test_an_answered_call_waits_no_more_in_a_memory_played_again() -> None:
    """A tool call that was answered before the work passed over is not answered twice."""
    answer = ToolAnswer("t1", None, "5")
    memory = RunMemory()
    memory.recall(Memo("r", "c1", (("t1", "add"),), None, None, None, ()))
    ((tool_id, _),) = memory.answered((answer,))
    again = RunMemory()
    again.recall(Memo("r", "c1", (("t1", "add"),), None, None, None, ()))
    again.recall(Memo("r", "c2", (), "d", None, None, (tool_id,)))
    assert [] == again.answered((answer,))
    assert "c1" == again.answer_to(RequestFacts(last_assistant_tool_ids=("t1",)))


def test_a_journal_forgets_the_oldest() -> None:
    """It keeps so many memos, and sends none that is very long."""
    journal = Journal()
    for number in range(Journal.MAX_MEMOS + 10):
        journal.add(Memo("r", str(number), (), None, None, None, ()))
    assert ["10"] == [memo.call_id for memo in journal][:1]
    journal.add(Memo("r", "x" * Journal.MAX_MEMO_BYTES, (), None, None, None, ()))
    assert Journal.MAX_MEMOS - 1 == len(list(journal.lines()))
    journal.add(b"x" * (Journal.MAX_MEMO_BYTES + 1))
    assert Journal.MAX_MEMOS - 1 == len(list(journal.lines()))

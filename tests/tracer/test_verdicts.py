from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.rejections import rejection
from trimtab_tracer.verdicts import MESSAGE_CHARS, tool_status

REJECTIONS = [
    "Please always provide EXACTLY ONE action in triple backticks, found 0 actions.\n\nPlease format your action …",
    "Your output was not formatted correctly. You must always include one discussion and one command.",
    "Your last output did not use any tool calls!\nPlease make sure your output includes exactly _ONE_ function call!",
    "Could not parse LLM output: `I think we should …`",
    "Error: Could not parse output. Please follow the thought-action-input format. Try again.",
    "Failed to parse your response as JSON: Expecting value: line 1 column 1 (char 0)",
    "Error parsing LLM output, agent will retry: I did it wrong. Invalid Format: I missed the 'Action:'.",
    "Invalid Format: Missing 'Action:' after 'Thought:'",
    "Invalid or incomplete response. Please use the required format.",
    "Your response must contain exactly one bash code block.",
    "Your response is not valid JSON. Return only JSON.",
    "[ERROR] You did not use a tool in your previous response! Please retry with a tool use.",
    "No tool calls found in the response. Every response MUST include at least one tool call.",
    "Plain text responses are not permitted, please include your response in a tool call",
    "Validation feedback:\nFix the errors and try again.",
    "Previous response had parsing errors:\nERROR: no JSON\n\nPlease fix these issues.",
    "I didn't see any properly formatted edits in your reply?!",
    "# 1 SEARCH/REPLACE block failed to match!",
    "New task:\nx\nError:\nError in code parsing:\nYour code snippet is invalid, because the regex pattern was not "
    "found in it.\nNow let's retry: take care not to repeat previous errors!",
]
RESULT = st.dictionaries(
    st.sampled_from(["error", "isError", "status", "exit_code", "success"]),
    st.none() | st.text() | st.booleans() | st.lists(st.integers()) | st.integers(),
)
NO_REJECTIONS = [
    "",
    "Please fix the failing test in parser.py.",
    "Please always use British spelling.",
    "Please provide one example of a good name.",
    "Your answer is not valid for n = 0, try again.",
    "Your last message was great, thanks!",
    "Could you parse this file for me?",
    "Failed to parse config.yaml: what does that mean?",
    "I get 'Failed to parse response' when I call my API. Why?",
    "Could not parse response from the server, says my log. Help?",
    "No action was needed in the meeting.",
    "The response is empty when I call /users.",
    "Invalid password: what must I do?",
    "Write a validator. Your response must be shorter than ten lines.",
    "You are an agent. Your task: answer. Format your response as JSON.",
    "<returncode>0</returncode>\n<output>\nCould not parse LLM output\n</output>",
    "<returncode>0</returncode>\n<warning>\nThe output of your last command was too long.\n</warning>",
    "Traceback (most recent call last):\n  File …\nValueError: Failed to parse your response",
    "New task:\nx\nError:\nError executing tool 'add' with arguments {}: ValueError: boom\nPlease try again\n"
    "Now let's retry: take care not to repeat previous errors!",
    "Observation: 5",
]


@pytest.mark.parametrize("text", REJECTIONS)
def test_rejections_are_seen(text: str) -> None:
    """What harnesses say when they turn an answer down is seen."""
    assert rejection(text)


@pytest.mark.parametrize("text", NO_REJECTIONS)
def test_near_misses_are_none(text: str) -> None:
    """Tasks, questions, tool output and a person's criticism are no rejections."""
    assert not rejection(text)


@pytest.mark.parametrize(
    ("text", "is_error", "status", "kind"),
    [
        ("5", None, "unknown", None),
        ("5", False, "ok", None),
        ("boom-xyz", None, "unknown", None),
        ("boom-xyz", True, "error", "error"),
        ("ValueError('boom-xyz')", True, "error", "ValueError"),
        ("", None, "unknown", None),
        # Exit codes.
        ("<returncode>0</returncode>\n<output>\nError: no\n</output>", None, "ok", None),
        ("<returncode>1</returncode>\n<output>\nno\n</output>", None, "error", "exit_code"),
        ("Exit Code: 1\nls: no such file", None, "error", "exit_code"),
        ("Exit code: 0", None, "ok", None),
        ("exitcode: 127 (execution failed)\nCode output: x", None, "error", "exit_code"),
        ("Chunk ID: 7\nWall time: 0.1\nProcess exited with code 2\nOutput:", None, "error", "exit_code"),
        ("x\n" * 400 + "Command failed with exit code 3", None, "error", "exit_code"),
        ("The script ran, then exited with Unix exit code: 1\nIts output was:", None, "error", "exit_code"),
        ("The script ran, then exited with Unix exit code: 0\nIts output was:", None, "ok", None),
        ("Exit Code: 1", False, "error", "exit_code"),
        ("Exit codes:\n0 fine\n1 not", None, "unknown", None),
        ("the tool returns exit code 1 on failure", None, "unknown", None),
        ("error-free, exit code 1 of 2 known", None, "unknown", None),
        # Tracebacks and exceptions.
        ("Traceback (most recent call last):\n  File x\nValueError: boom", None, "error", "ValueError"),
        ("Execution error: \nTraceback (most recent call last):\n  f\na.b.HTTPError: 5", None, "error", "HTTPError"),
        ("The docs show `Traceback (most recent call last):` for errors.", None, "unknown", None),
        ("KeyError: 'x'", None, "error", "KeyError"),
        ("ErrorHandling: a guide", None, "unknown", None),
        # Frameworks.
        ("Error: Unterminated string starting at: line 1 column 17 (char 16)", None, "error", "error"),
        ("Error executing tool: boom-xyz", None, "error", "error"),
        ("Error executing tool: Tool 'add' arguments validation failed: 2 validation", None, "error", "validation"),
        ("Error invoking tool 'add' with kwargs {} with error:\n a: Field required", None, "error", "validation"),
        ("An error occurred while running the tool. Please try again.", None, "error", "error"),
        ("Failed to invoke function add with converted arguments {}", None, "error", "error"),
        ("2 validation errors for addargs\na\n  Input should be", None, "error", "validation"),
        ("add() missing 1 required positional argument: 'b'", None, "error", "validation"),
        ("Error: search is not a valid tool, try one of [add].", None, "error", "unknown_tool"),
        ("Unknown tool: search", None, "error", "unknown_tool"),
        ("Error: Command timed out after 30s", None, "error", "timeout"),
        ("An error occurred while parsing tool arguments. Please try again.", None, "error", "validation"),
        ("Tool 'add' timed out after 3 seconds.", None, "error", "timeout"),
        ("Error: ValueError('boom')\n Please fix your mistakes.", None, "error", "ValueError"),
        ("Tool execution error", None, "error", "error"),
        ("Tool input validation error", None, "error", "validation"),
        ("No such city.\n\nFix the errors and try again.", None, "error", "error"),
        ("1 validation error:\n```json\n[]\n```\n\nFix the errors and try again.", None, "error", "validation"),
        ("Encountered error: boom", None, "error", "error"),
        ("Tool add not found. Please select a tool that is available.", None, "error", "unknown_tool"),
        ("I encountered an error while trying to use the tool. This was the error: x.", None, "error", "error"),
        ("Tool 'add' has reached its usage limit of 3 times and cannot be used anymore.", None, "error", "error"),
        ("Execution error in add: \nTraceback (most recent call last):\n  f\nKeyError: 1", None, "error", "KeyError"),
        ("Error executing tool divide: division by zero", None, "error", "error"),
        ("<tool_use_error>File has not been read yet</tool_use_error>", True, "error", "error"),
        ("<tool_use_error>File has not been read yet</tool_use_error>", None, "error", "error"),
        ("Task:\nx\nError:\nError executing tool 'add' with arguments {}: ValueError: boom\nPlease try again\n"
         "Now let's retry: take care", None, "error", "ValueError"),
        ("Error:\nArgument a has type 'str' but should be 'int'\nNow let's retry: x", None, "error", "validation"),
        ("Now let's retry the upload. Fix the errors and try again, they said.", None, "unknown", None),
        ("Errors: 0, warnings: 2", None, "unknown", None),
        ("Error: none", None, "unknown", None),
        ("Error handling in Rust is explicit.", None, "unknown", None),
        ("Found 3 files about the error handling", None, "unknown", None),
        # JSON.
        ('{"error": "not found"}', None, "error", "error"),
        ('{"error": {"type": "not_found", "message": "no"}}', None, "error", "not_found"),
        ('{"error":[{"type":"int_parsing","loc":["a"],"msg":"no"}]}', None, "error", "validation"),
        ('{"isError": true, "content": [{"text": "boom"}]}', None, "error", "error"),
        ('{"success": false, "message": "full"}', None, "error", "error"),
        ('{"exit_code": 1, "stderr": "no such file"}', None, "error", "exit_code"),
        ('{"exit_code": 0}', None, "ok", None),
        ('{"error": null, "value": 1}', None, "unknown", None),
        ('{"error": 0.02, "value": 1}', None, "unknown", None),
        ('{"error": "", "ok": true}', None, "unknown", None),
        ('{"errors_found": ["x"]}', None, "unknown", None),
        ('{"broken', None, "unknown", None),
    ],
)  # fmt: skip
def test_tool_status(text: str, is_error: bool | None, status: str, kind: str | None) -> None:
    """Exit codes, the wire's flag and error markers decide, in this order; without any the status is unknown."""
    verdict = tool_status(text, is_error)
    assert (verdict.status, verdict.error_type) == (status, kind)
    assert (verdict.message is None) or status == "error"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<returncode>1</returncode>\n<output>\nls: no such file\n</output>", "ls: no such file"),
        ("Traceback (most recent call last):\n  x\nValueError: boom\n", "ValueError: boom"),
        ("Traceback (most recent call last):\n  x\np.DataError: 2\na\n  Field required", "p.DataError: 2"),
        ('{"error": {"message": "no such city"}}', "no such city"),
        ("Error: " + "x" * 5000, "Error: " + "x" * (MESSAGE_CHARS - 7)),
    ],
)  # fmt: skip
def test_message_is_the_line_that_says_it(text: str, message: str) -> None:
    """The message is the line with the reason, without tags, at most 2000 characters."""
    assert tool_status(text).message == message


@given(text=st.text() | RESULT.map(json.dumps), is_error=st.none() | st.booleans())
def test_verdicts_never_raise(text: str, is_error: bool | None) -> None:
    """Any text has a verdict, and an error flag is never overruled to ok."""
    verdict = tool_status(text, is_error)
    assert isinstance(rejection(text), bool)
    assert verdict.status in ("ok", "error", "unknown")
    assert not is_error or verdict.status == "error"


@pytest.mark.parametrize(
    "unit", ["error ", "please ", "exit code ", "a" * 100, "{", "\n", "Error in code parsing: ", "Your output "]
)
def test_verdicts_are_cheap_on_long_text(unit: str) -> None:
    """A megabyte of anything is judged in a few milliseconds."""
    text = unit * (1_000_000 // len(unit))
    started = time.thread_time()
    rejection(text)
    tool_status(text)
    assert time.thread_time() - started < 0.5


REJECTED = {"13033": 1, "13398": 2, "13977": 1, "14096": 2, "14369": 2, "14508": 1, "14598": 1, "8707": 2}


def test_rejections_of_a_real_agent(real_data: Path) -> None:
    """In fifteen recorded runs of a coding agent exactly the twelve rejected calls are seen, run by run."""
    found: dict[str, int] = {}
    files = sorted((real_data / "mini_swe_agent" / "raw_sample").glob("*.traj.json"))
    for file in files:
        messages = json.loads(file.read_text())["messages"]
        count = sum(rejection(m["content"]) for m in messages if isinstance(m["content"], str))
        found[file.name.split("-")[-1].removesuffix(".traj.json")] = count
    assert len(files) == 15
    assert {k: v for k, v in found.items() if v} == REJECTED

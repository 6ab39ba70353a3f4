"""A harness turning a model's answer down for its form, told by the wording of its message.

In: the text of a user message. Out: yes or no. A module of its own because the live tracer and the importers must judge
alike, and because this list of wordings grows by itself. It is written for precision: a phrase counts only where a
harness puts it, at the head of a message. A wording that is not here goes unseen, and its call counts as useful.
"""

from __future__ import annotations

import re

from .patterns import lazy_pattern

_HEAD_CHARS = 400

_ANSWER = r"(?:response|answer|output|reply|message|completion|turn)"
_PREFIX = r"\A[\s>*#`\[\]]*(?:(?:error|system|observation|warning|sorry|feedback)\b[\s:,.!\]*-]*)?"

_FAULTS = (  # of form: a person who says "your answer is not valid for n = 0" rejects nothing
    r"\b(?:not (?:\w+ )?(?:formatted|parsed?|conform|(?:match|follow) (?:the|any)"
    r"|(?:contain|include|use|have) (?:any|a)\b|valid (?:json|xml|yaml|python|tool)|in the (?:\w+ ){0,2}format)"
    r"|invalid (?:json|xml|yaml|format|syntax|tool|action)|malformed|empty|parsing errors?|unparsable|truncated"
    r"|no (?:valid )?(?:tool|action|code|function|json)|fail(?:ed)? (?:schema )?validation|fail(?:ed)? to parse)"
)
_FORMATS = r"\b(?:json|xml|formats?|tools?|functions?|code block|backticks|block|action|command|tags?|schema|exactly)\b"

# What a harness says first when it turns an answer down; matched at the head of the message only.
_REJECTIONS = tuple(
    lazy_pattern(_PREFIX + pattern, re.IGNORECASE)
    for pattern in (
        # "Please always provide EXACTLY ONE action in triple backticks, found 2 actions."
        r"(?:please |you must |you should |always ){1,3}"
        r"(?:provide|include|respond with|return|output|use|give|call|make) (?:exactly|at least|only|a single|one)\b"
        r".{0,60}\b(?:action|command|tool|function|code block|block|blob|json)",
        # "Could not parse LLM output", "Failed to parse your response as JSON", "Error parsing LLM output"
        r"(?:i |we )?(?:could not|couldn't|cannot|can't|unable to|failed to|failure to|error while|error in|error)"
        r" ?pars(?:e|ing)(?: of)?(?: the| your)?(?: last| previous)?"
        r"(?: llm| model| model's| agent| assistant| ai)?"
        rf" (?:{_ANSWER}(?! (?:of|from) (?!the (?:model|llm|assistant)))"
        r"|(?:tool|function) ?calls?|action|command|code (?:block|blob))\b",
        r"pars(?:e|ing) (?:llm|model|tool call from model) output\b",
        r"(?:in )?code parsing:",  # smolagents: "Error in code parsing: Your code snippet is invalid"
        # "Your response must contain …"
        rf"your (?:last |previous )?{_ANSWER} (?:must|should|needs to|has to) (?:always |only )?"
        rf"(?:contain|include|be|follow|use|have|start|end|match|consist)\b.{{0,80}}{_FORMATS}",
        # "Your last output did not use any tool calls", "The previous response had parsing errors"
        rf"(?:your (?:last |previous )?|(?:the )?(?:last |previous |model's ){{1,2}}){_ANSWER}"
        rf" (?:is|was|were|could|cannot|did|does|had|has|contained|contains|failed)\b.{{0,60}}{_FAULTS}",
        r"your (?:code snippet|json|tool call|function call|action|command) (?:is|was) (?:invalid|malformed|not valid)",
        # LangChain, CrewAI: "Invalid Format: Missing 'Action:' after 'Thought:'"
        r"(?:i did it wrong\W{1,3})?(?:invalid|incorrect|wrong|missing)(?: or incomplete)?"
        r"(?: output| response| json){0,2}(?: format)?(?: error)?\s*[:;.]\s?.{0,40}"
        r"\b(?:missing|missed|expected|must|please|provide|use|action|follow)\b",
        r"no (?:valid )?(?:tool|function) calls? (?:was |were )?(?:found|detected|made|present) in (?:the|your)\b",
        r"no (?:valid )?(?:action|command|code block|code blob|json(?: object)?|edits?|answer) (?:was |were )?"
        r"(?:found|detected|provided|present)\b.{0,20}\b(?:in|by) (?:the|your) "
        rf"(?:last |previous |model |model's )?{_ANSWER}",
        r"you did not (?:use|provide|include|call|return|specify|make)\b.{0,40}" + _FORMATS,
        r"(?:plain )?text responses are not (?:permitted|allowed)",  # pydantic-ai
        r"please (?:return text or )?include your response in a tool call",
        r"validation (?:feedback|errors? found):",  # pydantic-ai, instructor
        r"i didn't see any properly formatted edits",  # aider
        r"the llm did not conform to the edit format",
        r"\d+ search/replace blocks? failed to match",
        r"tool call error:\s*(?:<error>|no tool calls?)",  # mini-SWE-agent 2
        r"above, the completion did not satisfy the constraints",  # LangChain's retry parser
    )
)

# Frameworks that merge their complaint into the last user message end it with a formula of their own (smolagents).
_TAIL = lazy_pattern(
    r"(?:error in code parsing:|your code snippet is invalid|error while parsing tool call|contain any json blob)"
    r"(?=.{0,600}now let's retry)",
    re.IGNORECASE | re.DOTALL,
)

# Observations that a text protocol sends back as user messages.
_OBSERVATION = lazy_pattern(
    r"\A\s*(?:<(?:returncode|output|stdout|stderr|result|observation|tool_result|tool_response|function_results?)\b"
    r"|exit ?code\b|\$ |traceback \(most recent|```)",
    re.IGNORECASE,
)


def rejection(text: str) -> bool:
    """Whether a harness turns the model's last answer down in this message, for its form.

    Tool results, tracebacks and a person's complaint are none; whether a model answered before is the caller's to know.
    """
    if _OBSERVATION.match(text):
        return False
    head = text[:_HEAD_CHARS]
    return any(p.match(head) for p in _REJECTIONS) or _TAIL.search(text[-2000:]) is not None

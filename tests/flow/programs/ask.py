"""One question, asked the way the first argument says; prints the answer or the exception's class."""

import asyncio
import sys
from collections.abc import Callable

import openai

import trimtab

trimtab.instrument()
MESSAGES = [{"role": "user", "content": "How are you?"}]
OPENAI = {"model": "gpt-5-mini", "messages": MESSAGES}
ANTHROPIC = {"model": "claude-haiku-4-5", "messages": MESSAGES, "max_tokens": 64}


def plain() -> object:
    """A blocking call."""
    return openai.OpenAI().chat.completions.create(**OPENAI).choices[0].message.content


async def messages() -> object:
    """An awaited call of the other SDK."""
    import anthropic  # seconds of imports, for two of the ways only

    return (await anthropic.AsyncAnthropic().messages.create(**ANTHROPIC)).content[0].text


def impatient() -> object:
    """A call that gives up early and does not try again."""
    return openai.OpenAI(timeout=0.25, max_retries=0).chat.completions.create(**OPENAI)


def stream() -> object:
    """A stream read to its end."""
    chunks = openai.OpenAI().chat.completions.create(**OPENAI, stream=True, stream_options={"include_usage": True})
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def break_off() -> object:
    """A stream that does not get that far."""
    return stream()


async def stream_messages() -> object:
    """An awaited stream of the other SDK."""
    import anthropic  # seconds of imports, for two of the ways only

    async with anthropic.AsyncAnthropic().messages.stream(**ANTHROPIC) as events:
        return "".join([text async for text in events.text_stream])


def leave() -> object:
    """A stream that is left after three chunks."""
    chunks = openai.OpenAI().chat.completions.create(**OPENAI, stream=True)
    for number, _ in enumerate(chunks):
        if number == 2:
            break
    chunks.close()
    return "left"


async def leave_async() -> object:
    """An awaited stream that is left after three chunks."""
    number = 0
    async with await openai.AsyncOpenAI().chat.completions.create(**OPENAI, stream=True) as chunks:
        async for _ in chunks:
            number += 1
            if number == 3:
                break
    return "left"


def forget() -> object:
    """A stream that is dropped unread, and left to the garbage collector."""
    openai.OpenAI().chat.completions.create(**OPENAI, stream=True)
    return "forgotten"


async def cancel() -> object:
    """A call that its own program cancels."""
    asking = asyncio.create_task(openai.AsyncOpenAI().chat.completions.create(**OPENAI))
    await asyncio.sleep(0.25)
    asking.cancel()
    return await asking


def main(way: Callable[[], object]) -> None:
    """Ask, and print what came of it; the last one fails as an agent does that catches nothing."""
    try:
        answer = way()
        print(asyncio.run(answer) if asyncio.iscoroutine(answer) else answer)
    except BaseException as error:
        print(f"{type(error).__module__}.{type(error).__qualname__}", error)
        if len(sys.argv) > 2:
            raise


if __name__ == "__main__":
    main(globals()[sys.argv[1]])

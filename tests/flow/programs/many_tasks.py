"""Agents that declare no run, wherever one process works on several tasks; prints the response ids of each."""

import asyncio
import json
import multiprocessing
import sys
import threading
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from urllib.request import urlopen

import anthropic
import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import trimtab

trimtab.instrument()

PARAMETERS = {"type": "object", "properties": {"order_id": {"type": "string"}}}
FUNCTION = {"type": "function", "function": {"name": "lookup_order", "parameters": PARAMETERS}}
made = defaultdict(list)
oa, ant, aio = openai.OpenAI(), anthropic.Anthropic(), openai.AsyncOpenAI()


def chat_turn(task, messages):
    reply = oa.chat.completions.create(model="gpt-5-mini", messages=messages, tools=[FUNCTION])
    made[task].append(reply.id)
    message = reply.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": c.id, "content": "one kettle"} for c in message.tool_calls or []]
    return bool(message.tool_calls)


def chat(task):
    messages = [{"role": "user", "content": "Where is A-17?"}]
    while chat_turn(task, messages):
        pass


def responses(task):
    items, previous = "Where is A-17?", None
    tool = {"type": "function", "name": "lookup_order", "parameters": PARAMETERS}
    while items:
        reply = oa.responses.create(model="gpt-5-mini", input=items, previous_response_id=previous, tools=[tool])
        made[task].append(reply.id)
        previous = reply.id
        calls = [item for item in reply.output if item.type == "function_call"]
        items = [{"type": "function_call_output", "call_id": c.call_id, "output": "one kettle"} for c in calls]


def messages(task, has_thread=False):
    history, thread = [{"role": "user", "content": "Where is A-17?"}], {"type": "create"}
    tool = {"name": "lookup_order", "input_schema": PARAMETERS}
    while history:
        more = {"extra_body": {"thread": thread}} if has_thread else {}
        reply = ant.messages.create(model="claude-haiku-4-5", max_tokens=99, messages=history, tools=[tool], **more)
        made[task].append(reply.id)
        asked = [block for block in reply.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": b.id, "content": "one kettle"} for b in asked]
        thread = {"type": "continue", "previous_message_id": reply.id}
        before = [] if has_thread else [*history, {"role": "assistant", "content": reply.content}]
        history = [*before, {"role": "user", "content": results}] if results else []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, task = self.path.strip("/").partition("-")
        {"chat": chat, "responses": responses, "messages": messages}.get(kind, lambda t: messages(t, True))(task)
        trimtab.outcome(success=task != "3")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web, ThreadPoolExecutor(9) as pool:
        pool.submit(web.serve_forever)
        kinds = ["chat", "responses", "messages", "threads"]
        tasks = [f"http://127.0.0.1:{web.server_port}/{kinds[n % 4]}-{n}" for n in range(8)]
        list(pool.map(lambda url: urlopen(url).close(), tasks))
        web.shutdown()


async def agent(task, tool=None):
    messages = [{"role": "user", "content": "Where is A-17?"}]
    while True:
        function = FUNCTION if tool is None else {"type": "function", "function": {"name": "ask_colleague"}}
        reply = await aio.chat.completions.create(model="gpt-5-mini", messages=messages, tools=[function])
        made[task].append(reply.id)
        message = reply.choices[0].message
        messages.append(message)
        for call in message.tool_calls or []:
            result = "one kettle" if tool is None else await tool()
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        if not message.tool_calls:
            return message.content


async def asynchronous():
    await asyncio.gather(agent("gathered 1"), agent("gathered 2"))
    async with asyncio.TaskGroup() as group:
        group.create_task(agent("grouped 1"))
        group.create_task(agent("grouped 2"))
    await asyncio.gather(
        agent("outer 1", lambda: agent("inner 1")),
        agent("outer 2", lambda: asyncio.wait_for(agent("inner 2"), 60)),
    )


def tasks():
    asyncio.run(asynchronous())


def script():
    chat("only")
    oa.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Summarise."}])


def one_turn(messages):
    made.clear()
    goes_on = chat_turn("shared", messages)
    trimtab.flush()
    return goes_on, messages, made["shared"]


def workers():
    context = multiprocessing.get_context("fork")
    found = []
    with context.Pool(2, maxtasksperchild=1) as pool:  # each turn in a process of its own
        goes_on, messages = True, [{"role": "user", "content": "Where is A-17?"}]
        while goes_on:
            goes_on, messages, ids = pool.apply(one_turn, (messages,))
            found += ids
    again = []
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        goes_on, messages = True, [{"role": "user", "content": "Where is A-17?"}]
        while goes_on:
            goes_on, messages, ids = pool.submit(one_turn, messages).result()
            again += ids
    made.clear()
    made.update({"pool": found, "executor": again})


def step(task, n, span_context):
    """A prompt that names no earlier one, within the task's span, wherever that began."""
    with trace.use_span(trace.NonRecordingSpan(span_context)):
        prompt = [{"role": "user", "content": f"Step {n} of task {task}."}]
        return oa.chat.completions.create(model="plain", messages=prompt).id


def traced():
    """Threads that were there before the tasks take their steps from a queue; each one's second step is a process's."""
    tracer, queue = TracerProvider().get_tracer("app"), SimpleQueue()
    left = threading.Semaphore(0)

    def work(processes):
        while (todo := queue.get()) is not None:
            task, n, span = todo
            elsewhere = processes.submit(step, task, n, span.get_span_context()).result if n == 1 else None
            made[task].append(elsewhere() if elsewhere else step(task, n, span.get_span_context()))
            if n < 3:
                queue.put((task, n + 1, span))
            else:
                left.release()

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as processes:
        processes.submit(int).result()  # forks while there is one thread
        threads = [threading.Thread(target=work, args=[processes]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for task in "ABCD":
            queue.put((task, 0, tracer.start_span(f"task {task}")))
        for _ in "ABCD":
            left.acquire()
        for _ in threads:
            queue.put(None)
        for thread in threads:
            thread.join()
        processes.submit(trimtab.flush).result()


if __name__ == "__main__":
    {"server": server, "tasks": tasks, "script": script, "workers": workers, "traced": traced}[sys.argv[1]]()
    print(json.dumps(made))

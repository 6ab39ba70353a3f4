"""Calls of the OpenAI SDK that the hook and two instrumentors see, and one that only a span tells of."""

import json
import os
import sys
import urllib.request

import openai
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as GenAi
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import trimtab

trimtab.instrument()
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trimtab.attach(provider)
OpenInference().instrument(tracer_provider=provider)
GenAi().instrument(tracer_provider=provider)
tracer = provider.get_tracer("users.app")

BASE = os.environ["OPENAI_BASE_URL"]
MODEL = "gpt-4o"


def ask_out_of_sight(question: str) -> None:
    """What an SDK over gRPC or botocore does, as far as we can see: no request of ours, one span."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": question}]}
    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    request = urllib.request.Request(f"{BASE}/chat/completions", json.dumps(body).encode(), headers)
    said = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": MODEL}
    with tracer.start_as_current_span(f"chat {MODEL}", attributes=said) as span:
        answer = json.load(urllib.request.urlopen(request))
        span.set_attribute("gen_ai.response.id", answer["id"])
        span.set_attribute("gen_ai.usage.input_tokens", answer["usage"]["prompt_tokens"])
        span.set_attribute("gen_ai.usage.output_tokens", answer["usage"]["completion_tokens"])


def main() -> None:
    client = openai.OpenAI(timeout=30.0)
    messages = [{"role": "user", "content": "Check: is it there?"}]
    with tracer.start_as_current_span("request") as span:
        print(f"{span.get_span_context().trace_id:032x}", file=sys.stderr)
        client.chat.completions.create(model=MODEL, messages=messages)
        options = {"include_usage": True}
        for _ in client.chat.completions.create(model=MODEL, messages=messages, stream=True, stream_options=options):
            pass
        client.responses.create(model=MODEL, input="Plan: what first?")
        client.embeddings.create(model="text-embedding-3-small", input="kettle")
        ask_out_of_sight("Check: and now?")
    seen = sorted(
        (s.instrumentation_scope.name, s.name, len(s.attributes or {})) for s in exporter.get_finished_spans()
    )
    print(*seen, sep="\n")


main()

"""One agent, seen four times: by the hook, the SDK's own spans, OpenInference and OpenTelemetry's GenAI package."""

import sys

import anthropic
from anthropic import beta_tool
from openinference.instrumentation.anthropic import AnthropicInstrumentor as OpenInference
from opentelemetry import trace
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor as GenAi
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import trimtab

trimtab.instrument()
trimtab.attach()
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
OpenInference().instrument()
GenAi().instrument()


@beta_tool
def lookup_order(order_id: str) -> str:
    """Find an order.

    Args:
        order_id: Its number.
    """
    return f"order {order_id}: one kettle, now in Oslo"


@beta_tool
def shipping_quote(city: str) -> str:
    """Price of a parcel.

    Args:
        city: Where it goes.
    """
    if city == "Oslo":
        raise ValueError("no parcels to Oslo")
    return f"{city}: 12 euros"


def ask(client: anthropic.Anthropic, question: str) -> None:
    messages = [{"role": "user", "content": question}]
    client.messages.create(model="claude-haiku-4-5", max_tokens=90, messages=messages)
    with client.messages.stream(model="claude-haiku-4-5", max_tokens=90, messages=messages) as stream:
        print(stream.get_final_text())


def main() -> None:
    client = anthropic.Anthropic(timeout=30.0)
    with provider.get_tracer("users.app").start_as_current_span("request") as span:
        print(f"{span.get_span_context().trace_id:032x}", file=sys.stderr)
        ask(client, "Check: is it there?")
        runner = client.beta.messages.tool_runner(
            model="claude-haiku-4-5",
            max_tokens=300,
            tools=[lookup_order, shipping_quote],
            messages=[{"role": "user", "content": "Where is A-17, and what would Rome cost?"}],
        )
        print(runner.until_done().content[-1].text)
    seen = sorted(
        (s.instrumentation_scope.name, s.name, len(s.attributes or {})) for s in exporter.get_finished_spans()
    )
    print(*seen, sep="\n")


main()

"""google-genai with automatic function calling."""

from google import genai
from google.genai import types

import trimtab

trimtab.instrument(service="gemini-desk")


@trimtab.tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


client = genai.Client()
settings = types.GenerateContentConfig(tools=[lookup_order])
question = "Where is order A-17?"
answer = client.models.generate_content(  # every call is pinned here
    model="gemini-2.5-flash", contents=question, config=settings
)
print(answer.text)

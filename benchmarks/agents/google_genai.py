"""google-genai: automatic function calling, then a stream with the loop by hand."""

from google import genai
from google.genai import types

client = genai.Client()


def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


question = "Where is A-17, and what would Rome cost?"
tools = [lookup_order, shipping_quote]

response = client.models.generate_content(  # call
    model="gemini-2.5-flash", contents=question, config=types.GenerateContentConfig(tools=tools)
)
print(response.text)

by_hand = types.GenerateContentConfig(
    tools=tools, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
)
contents = [types.UserContent(question)]
while True:
    parts = []
    for chunk in client.models.generate_content_stream(
        model="gemini-2.5-pro", contents=contents, config=by_hand
    ):  # call
        parts += chunk.candidates[0].content.parts or []
    calls = [part.function_call for part in parts if part.function_call]
    if not calls:
        break
    results = []
    for call in calls:
        output = globals()[call.name](**call.args)
        answer = types.FunctionResponse(id=call.id, name=call.name, response={"output": output})
        results.append(types.Part(function_response=answer))
    contents += [types.ModelContent(parts), types.UserContent(results)]
print("".join(part.text or "" for part in parts))

"""An agent that makes one call with the SDK and hides another behind a socket of its own."""

import json
import os
import socket
from urllib.parse import urlsplit

from openai import OpenAI

MESSAGES = [{"role": "user", "content": "Where is A-17?"}]


def by_hand():
    address = urlsplit(os.environ["OPENAI_BASE_URL"])
    body = json.dumps({"model": "gpt-5-mini", "messages": MESSAGES}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + body)
        with connection.makefile("rb") as answer:
            return answer.readline().decode().strip()


print(OpenAI().chat.completions.create(model="gpt-5-mini", messages=MESSAGES).choices[0].message.content)  # call
print(by_hand())

"""What LLM providers put on the wire, read without doing any I/O.

In: bytes and JSON values of requests and responses, from any HTTP client or file. Out: the facts of
:mod:`.facts`, in one vocabulary for all providers. Nothing here raises on odd input, keeps state or
imports anything but the standard library, so the hook, the provider's tests and the importers share it.

``formats`` picks the format of a request by its path; ``chat``, ``responses``, ``messages``,
``embeddings``, ``gemini`` and ``ollama`` each read one; ``sse`` and ``ndjson`` cut streams into events;
``usage`` and ``errors`` normalise tokens and failures.
"""

"""Runs inside the user's agent: sees every LLM and tool call, writes it to the spool, and stays light."""

__version__ = "0.1.0"

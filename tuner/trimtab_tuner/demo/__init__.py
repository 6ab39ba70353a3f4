"""The demonstration: a real agent with real mistakes, a scripted provider, the sidecar, and what comes out of it."""

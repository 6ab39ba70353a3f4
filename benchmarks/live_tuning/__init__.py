"""An agent, a provider that replays recorded answers, and a sidecar that learns, for benchmarks/tune_live.py."""

"""Parts of ``benchmarks/tune_replay.py``: tables of outcomes, what happens to them, who chooses, and what came of it."""

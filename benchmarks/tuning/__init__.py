"""Parts of ``benchmarks/tune_replay.py``: tables, what happens to them, who chooses, and what came of it."""

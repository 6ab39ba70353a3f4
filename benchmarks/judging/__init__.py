"""What :mod:`benchmarks/coverage.py` is made of: environments, isolation, running an agent, judging it, the table."""

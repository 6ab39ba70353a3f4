"""The parts of fault_injection.py: the list of faults, the runs, what is true of them, who says so, and the figures."""

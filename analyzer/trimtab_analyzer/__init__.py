"""Reads the store and says which decision and which line each lost run and each wasted dollar belongs to."""

"""The public door of trimtab."""

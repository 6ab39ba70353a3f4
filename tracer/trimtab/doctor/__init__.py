"""``trimtab doctor``: what of this environment is seen, what is not, and what to do about it."""

"""The hooks: one module per thing that is patched, each able to restore what it found."""

"""``trimtab export``: what the store holds, for other tools: OTLP to any backend, or Parquet files."""

-- Purpose: remember an import; the same one again keeps its first row.
-- Parameters, in order: its name `import:<id>` VARCHAR, size of the body in bytes BIGINT, records BIGINT, now in ns BIGINT.
INSERT INTO ingest_ledger (segment, offset_bytes, records, closed, updated_ns)
VALUES (?, ?, ?, true, ?)
ON CONFLICT DO NOTHING

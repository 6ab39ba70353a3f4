-- Purpose: a fingerprint of everything that reports and ledgers are computed from; another one means compute anew.
-- Parameters: none.
-- One row. The collector writes updated_ns with every batch; runs of a process that vanished are ended without one. What
--   an import brings is in no ledger: whoever takes it says so (Computed.forget).
SELECT
    (SELECT max(updated_ns) FROM ingest_ledger) AS updated_ns,
    (SELECT count(*) FROM ingest_ledger) AS segments,
    (SELECT count(*) FROM runs) AS runs,
    (SELECT count(ended_ns) FROM runs) AS ended_runs,
    (SELECT count(*) FROM attempts) AS attempts,
    (SELECT count(*) FROM tool_calls) AS tool_calls,
    (SELECT count(*) FROM decisions) AS decisions,
    (SELECT count(*) FROM outcomes) AS outcomes

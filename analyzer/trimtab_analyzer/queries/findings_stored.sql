-- The findings as last persisted.
-- Parameters: none.
-- One row per finding; *_musd micro-USD, *_ns nanoseconds since the epoch; value and evidence are JSON text.
SELECT
    finding_id,
    rule,
    subject,
    knob,
    value::VARCHAR AS value,
    site_id,
    title,
    advice,
    status,
    runs,
    failed_runs,
    calls,
    cost_musd,
    wasted_musd,
    evidence::VARCHAR AS evidence,
    first_seen_ns,
    last_seen_ns,
    updated_ns
FROM findings
ORDER BY finding_id

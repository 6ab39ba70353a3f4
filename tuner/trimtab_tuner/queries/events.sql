-- Purpose: decisions after a known one, oldest first.
-- Parameters: $after_id BIGINT: of the last decision that is known, 0 for none; $limit BIGINT.
-- One row per decision, columns as in table audit; at_ns nanoseconds.
SELECT *
FROM audit
WHERE audit_id > $after_id
ORDER BY audit_id
LIMIT $limit

-- Purpose: who decided what, newest first.
-- Parameters: $before_id BIGINT: continue behind this row, NULL to begin; $limit BIGINT.
-- One row per decision, columns as in table audit; at_ns nanoseconds; total is the number of all, NULL on later pages.
SELECT *, CASE WHEN $before_id IS NULL THEN (SELECT count(*) FROM audit) END AS total
FROM audit
WHERE $before_id IS NULL OR audit_id < $before_id
ORDER BY audit_id DESC
LIMIT $limit

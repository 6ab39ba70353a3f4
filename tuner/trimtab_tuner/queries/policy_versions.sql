-- Purpose: every policy that was ever in force, newest first.
-- Parameters: $version INTEGER, NULL for "any"; $limit, $offset BIGINT.
-- One row per version: issued_ns nanoseconds, of its first issue; frozen; rules: their number; document JSON, NULL unless a version
--   is asked for; total is the number that match.
SELECT
    version, issued_ns, reason, actor, via,
    (document ->> '$.frozen')::BOOLEAN AS frozen,
    json_array_length(document, '$.rules')::INTEGER AS rules,
    CASE WHEN $version IS NOT NULL THEN document END AS document,
    count(*) OVER () AS total
FROM policy_versions
WHERE $version IS NULL OR version = $version
ORDER BY version DESC
LIMIT $limit OFFSET $offset

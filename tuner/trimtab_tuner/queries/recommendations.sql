-- Purpose: proposed changes and what became of them: those that wait for a decision first, then those in force, then the rest.
-- Parameters, NULL for "any": $recommendation_id, $status VARCHAR; $limit, $offset BIGINT.
-- One row per recommendation, columns as in table recommendations; *_ns nanoseconds; total is the number that match.
SELECT *, count(*) OVER () AS total
FROM recommendations
WHERE ($recommendation_id IS NULL OR recommendation_id = $recommendation_id)
  AND ($status IS NULL OR status = $status)
ORDER BY
    list_position(['proposed', 'accepted', 'active', 'promoted'], status) NULLS LAST,
    updated_ns DESC,
    recommendation_id
LIMIT $limit OFFSET $offset

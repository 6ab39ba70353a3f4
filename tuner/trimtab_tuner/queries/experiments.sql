-- Purpose: experiments, running ones first, of each kind the newest first.
-- Parameters, NULL for "any": $experiment_id, $status VARCHAR running | stopped; $limit, $offset BIGINT.
-- One row per experiment, columns as in table experiments; *_ns nanoseconds; total is the number that match.
SELECT *, count(*) OVER () AS total
FROM experiments
WHERE ($experiment_id IS NULL OR experiment_id = $experiment_id)
  AND ($status IS NULL OR status = $status)
ORDER BY status, started_ns DESC, experiment_id
LIMIT $limit OFFSET $offset

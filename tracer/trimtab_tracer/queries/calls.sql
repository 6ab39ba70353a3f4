-- Derive the calls of a batch anew from their attempts.
-- Parameters: relation batch_calls (call_id VARCHAR). One row per call that has an attempt.
-- What the request said comes from the last attempt that was parsed, how it ended from the last attempt.
EXPLAIN
WITH ordered AS (
    SELECT
        a,
        a.input_tokens IS NOT NULL OR a.output_tokens IS NOT NULL AS has_tokens,
        (a.number, a.started_ns, a.attempt_id) AS position,
        lag(a.ended_ns) OVER (PARTITION BY a.call_id ORDER BY a.number, a.started_ns, a.attempt_id) AS previous_ended_ns
    FROM attempts AS a
    SEMI JOIN batch_calls USING (call_id)
),
summed AS (
    SELECT
        a.call_id AS call_id,
        arg_max(a, position) AS last,
        count(*)::INTEGER AS attempts,
        min(a.started_ns) AS started_ns,
        max(a.ended_ns) AS ended_ns,
        coalesce(sum(greatest(0, a.started_ns - previous_ended_ns)), 0)::BIGINT AS wait_ns
    FROM ordered
    GROUP BY a.call_id
)
SELECT call_id, last.run_id, last.provider, attempts, wait_ns FROM summed

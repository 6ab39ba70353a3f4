-- What the waste pins can't say, and why. Which runs' time can't be split is found by seconds.py.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per reason that occurs.
--   what      what is missing: cost | cost in parts | tokens | seconds | outcome
--   subject   what the examples are ids of: attempt | tool call | run
--   n         how many there are
--   examples  the first five of them
WITH of_attempts AS (
    SELECT * FROM attempts WHERE $run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[]))
),
of_runs AS (
    SELECT * FROM runs WHERE $run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[]))
),
found AS (
    SELECT
        'cost' AS what,
        CASE
            WHEN input_tokens IS NULL AND output_tokens IS NULL THEN 'no usage was reported'
            WHEN model IS NULL THEN 'the model is not known'
            ELSE 'no price is known for ' || model || ' at ' || coalesce(provider, host)
        END AS reason,
        'attempt' AS subject,
        attempt_id AS id
    FROM of_attempts
    WHERE cost_musd IS NULL
    UNION ALL
    SELECT 'cost in parts', 'the cost was reported and no price list has the model', 'attempt', attempt_id
    FROM of_attempts
    WHERE cost_musd > 0 AND cost_computed_musd IS NULL
    UNION ALL
    SELECT 'tokens', 'answered without token counts, which count as 0', 'attempt', attempt_id
    FROM of_attempts
    WHERE error_class IS NULL AND "end" <> 'error' AND input_tokens IS NULL AND output_tokens IS NULL
    UNION ALL
    SELECT 'seconds', 'ends before it begins', 'attempt', attempt_id FROM of_attempts WHERE ended_ns < started_ns
    UNION ALL
    SELECT 'seconds', 'ends before it begins', 'tool call', tool_id
    FROM tool_calls
    WHERE ended_ns < started_ns AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
    UNION ALL
    SELECT DISTINCT 'seconds', 'its start and end are not recorded', 'run', run_id
    FROM of_attempts
    ANTI JOIN runs USING (run_id)
    UNION ALL
    SELECT 'outcome', 'nobody said what came of it', 'run', run_id
    FROM of_runs
    ANTI JOIN (SELECT run_id FROM outcomes WHERE success IS NOT NULL OR score IS NOT NULL) AS said USING (run_id)
    WHERE is_split IS NOT true
)
SELECT what, reason, subject, count(*) AS n, list(id ORDER BY id)[1:5] AS examples
FROM found
GROUP BY what, reason, subject
ORDER BY what, reason, subject

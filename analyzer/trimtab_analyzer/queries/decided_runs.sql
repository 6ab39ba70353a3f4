-- The runs that went on after it was said what had come of them.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per run with an explicit verdict (yes or no) that was given while the run was under way.
--   decided_ns  when the verdict that holds in the end was given: the first explicit one after the last that said otherwise.
--               What an evaluator or an inference says comes from outside, and a score alone decides nothing.
WITH said AS (
    SELECT o.run_id, o.recorded_ns, o.success, last_value(o.success) OVER (
        PARTITION BY o.run_id ORDER BY o.recorded_ns, o.outcome_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS verdict
    FROM outcomes AS o
    JOIN runs AS r USING (run_id)
    WHERE o.source = 'explicit'
      AND o.success IS NOT NULL
      AND o.recorded_ns >= r.started_ns
      AND ($run_ids::VARCHAR[] IS NULL OR o.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
),
turned AS (
    SELECT run_id, max(recorded_ns) FILTER (success <> verdict) AS turned_ns FROM said GROUP BY run_id
)
SELECT s.run_id, min(s.recorded_ns) AS decided_ns
FROM said AS s
JOIN turned AS t USING (run_id)
WHERE s.recorded_ns > coalesce(t.turned_ns, s.recorded_ns - 1)
GROUP BY s.run_id
ORDER BY s.run_id

-- Purpose: the runs of a report with what they did and cost.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per run, oldest first, without those of processes whose calls are in runs of their own, unless something is left
--   in the process's run itself: a call or tool of no other run, an outcome, or an exception that none of those runs ended
--   in (the same runs as in ../../queries/outcomes.sql). *_ns nanoseconds since the epoch, cost_musd micro-USD over attempts
--   of known cost (unpriced counts the others), tokens 0 where no attempt says them (untold counts the attempts that do not).
WITH spent AS (
    SELECT
        run_id,
        count(*) AS attempts,
        count_if(error_class IS NOT NULL OR "end" = 'error')::BIGINT AS failed_attempts,
        coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
        coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read_tokens,
        coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
        count_if(output_tokens IS NULL AND error_class IS NULL AND "end" <> 'error')::BIGINT AS untold,
        coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd,
        count_if(cost_musd IS NULL)::BIGINT AS unpriced
    FROM attempts
    GROUP BY run_id
),
called AS (
    SELECT
        run_id,
        count(*) AS calls,
        count_if(rejected_by_call_id IS NOT NULL)::BIGINT AS rejected,
        coalesce(sum(cost_musd) FILTER (rejected_by_call_id IS NOT NULL), 0)::BIGINT AS rejected_musd
    FROM calls
    GROUP BY run_id
),
tools AS (
    SELECT run_id, count(*) AS tool_calls, count_if(status = 'error')::BIGINT AS tool_errors
    FROM tool_calls
    GROUP BY run_id
)
SELECT
    r.run_id,
    r.service,
    r.name,
    r.task,
    r.origin,
    r.harness,
    r.started_ns,
    r.ended_ns,
    coalesce(r.status, 'running') AS status,
    r.error_type,
    r.error_message,
    r.error_site_id,
    coalesce(r.attributes ->> 'times', '') AS times,
    coalesce(c.calls, 0) AS calls,
    coalesce(c.rejected, 0) AS rejected,
    coalesce(c.rejected_musd, 0) AS rejected_musd,
    coalesce(s.attempts, 0) AS attempts,
    coalesce(s.failed_attempts, 0) AS failed_attempts,
    coalesce(t.tool_calls, 0) AS tool_calls,
    coalesce(t.tool_errors, 0) AS tool_errors,
    coalesce(s.input_tokens, 0) AS input_tokens,
    coalesce(s.cache_read_tokens, 0) AS cache_read_tokens,
    coalesce(s.output_tokens, 0) AS output_tokens,
    coalesce(s.untold, 0) AS untold,
    coalesce(s.cost_musd, 0) AS cost_musd,
    coalesce(s.unpriced, 0) AS unpriced
FROM runs AS r
LEFT JOIN spent AS s USING (run_id)
LEFT JOIN called AS c USING (run_id)
LEFT JOIN tools AS t USING (run_id)
WHERE ($run_ids::VARCHAR[] IS NULL OR r.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
  AND (
    $run_ids::VARCHAR[] IS NOT NULL
    OR r.is_split IS NOT true
    OR r.run_id IN (SELECT run_id FROM attempts UNION ALL SELECT run_id FROM tool_calls)
    OR r.run_id IN (SELECT run_id FROM outcomes)
    OR (r.status = 'error' AND r.run_id NOT IN (SELECT parent_run_id FROM runs WHERE origin = 'rebuilt' AND status = 'error'))
  )
ORDER BY r.started_ns, r.run_id

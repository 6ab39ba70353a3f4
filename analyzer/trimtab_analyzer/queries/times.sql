-- When models, tools and pauses before a retry were under way.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per attempt, per execution of a tool whose end is known, and per pause between two attempts of a call. Those that
-- would end before they began are left out (queries/not_analysable.sql names them).
--   state       model | tool | retry_wait
--   id          attempt or tool call; of a pause the attempt after it
--   call_id     NULL for a tool that no model asked for
--   site_id     line of the call; of such a tool its definition
--   is_bound    a tool's time is only an upper bound: from the answer that asked for it to the request with its result
SELECT
    'model' AS state,
    run_id,
    attempt_id AS id,
    call_id,
    site_id,
    started_ns,
    ended_ns,
    false AS is_bound
FROM attempts
WHERE ended_ns >= started_ns AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
UNION ALL
SELECT
    'tool',
    t.run_id,
    t.tool_id,
    t.call_id,
    coalesce(c.site_id, t.site_id),
    t.started_ns,
    t.ended_ns,
    t.is_upper_bound
FROM tool_calls AS t
LEFT JOIN calls AS c USING (call_id)
WHERE t.origin <> 'requested'
  AND t.ended_ns >= t.started_ns
  AND ($run_ids::VARCHAR[] IS NULL OR t.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
UNION ALL
SELECT 'retry_wait', run_id, attempt_id, call_id, site_id, before_ns, started_ns, false
FROM (
    SELECT *, lag(ended_ns) OVER (PARTITION BY call_id ORDER BY number, started_ns) AS before_ns
    FROM attempts
    WHERE $run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[]))
)
WHERE started_ns > before_ns
ORDER BY run_id, started_ns, state, id

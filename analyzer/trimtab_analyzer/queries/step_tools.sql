-- What the steps of runs did.
-- Parameters: $run_ids VARCHAR[].
-- One row per tool call of a step: one that its answer asked for, else one that was seen running after it. Ordered by call
-- and place in the answer.
--   status        ok | error | unknown | unanswered (no result came back)
--   is_empty      its result had no characters; NULL where the length is not known
SELECT
    t.run_id,
    coalesce(t.call_id, r.after_call_id) AS call_id,
    t.tool_id,
    t.name,
    t.args_digest,
    CASE WHEN t.origin = 'requested' THEN 'unanswered' ELSE t.status END AS status,
    CASE WHEN t.origin <> 'requested' AND t.result_digest IS NOT NULL THEN t.result_chars = 0 END AS is_empty
FROM tool_calls AS t
LEFT JOIN tool_runs AS r USING (tool_run_id)
WHERE t.run_id IN (SELECT unnest($run_ids::VARCHAR[])) AND coalesce(t.call_id, r.after_call_id) IS NOT NULL
ORDER BY t.run_id, call_id, t.started_ns, TRY_CAST(split_part(t.tool_id, ':', -1) AS BIGINT), t.tool_id

-- What the steps of runs asked to be done.
-- Parameters: $run_ids VARCHAR[].
-- One row per tool call that a model asked for, ordered by call and place in the answer.
--   status        ok | error | unknown | unanswered (no result came back)
--   is_empty      its result had no characters; NULL where the length is not known
SELECT
    run_id,
    call_id,
    tool_id,
    name,
    args_digest,
    CASE WHEN origin = 'requested' THEN 'unanswered' ELSE status END AS status,
    CASE WHEN origin <> 'requested' THEN result_chars = 0 END AS is_empty
FROM tool_calls
WHERE call_id IS NOT NULL AND run_id IN (SELECT unnest($run_ids::VARCHAR[]))
ORDER BY run_id, call_id, TRY_CAST(split_part(tool_id, ':', -1) AS BIGINT), tool_id

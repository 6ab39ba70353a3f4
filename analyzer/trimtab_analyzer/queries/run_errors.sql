-- The runs that an exception ended, or that ended with their process.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per run with status 'error'.
--   error_type     exception class; 'process vanished' where the process was gone without a word
--   is_exception   whether an exception was seen
--   site_id        the user's line that the exception left through
--   last_call_id   its LLM call that began last; NULL where it made none
--   last_start_ns  when that one began
--   from_child     a run inside it ended in the same way, so that it only passed through here
WITH last_calls AS (
    SELECT run_id, arg_max(call_id, started_ns) AS last_call_id, max(started_ns) AS last_start_ns
    FROM calls
    GROUP BY run_id
)
SELECT
    r.run_id,
    coalesce(r.error_type, CASE WHEN r.end_rule = 'process vanished' THEN r.end_rule ELSE 'an unknown exception' END) AS error_type,
    r.end_rule IS DISTINCT FROM 'process vanished' AS is_exception,
    r.error_message,
    r.error_site_id AS site_id,
    r.started_ns,
    coalesce(r.ended_ns, r.started_ns) AS ended_ns,
    l.last_call_id,
    l.last_start_ns,
    EXISTS (
        SELECT 1 FROM runs AS child
        WHERE child.parent_run_id = r.run_id AND child.status = 'error' AND child.error_type IS NOT DISTINCT FROM r.error_type
    ) AS from_child
FROM runs AS r
LEFT JOIN last_calls AS l USING (run_id)
WHERE r.status = 'error' AND ($run_ids::VARCHAR[] IS NULL OR r.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
ORDER BY r.started_ns, r.run_id

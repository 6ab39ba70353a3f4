-- When and how rebuilt runs ended, as far as can be told: by the last call of the outermost conversation.
-- Parameters: relation batch_tops (conversation_id VARCHAR), $silent_ns BIGINT: an open one whose last call ended before this
-- point in time has ended; 0 for none.
-- A final answer ends a run; so does the end of the process that the last call was made in; so does silence. A failed last
-- call is an error, and so is what a process left open that ended in one.
UPDATE runs
SET
    ended_ns = CASE WHEN e.end_rule IS NOT NULL THEN e.ended_ns END,
    end_rule = e.end_rule,
    status = CASE WHEN e.end_rule IS NOT NULL THEN CASE WHEN e.is_error THEN 'error' ELSE 'ok' END END,
    error_type = CASE WHEN e.end_rule IS NOT NULL AND e.is_error THEN coalesce(e.home_error_type, e.error_class) END,
    error_message = CASE WHEN e.end_rule IS NOT NULL AND e.is_error
        THEN CASE WHEN e.home_error_type IS NOT NULL THEN e.home_error_message ELSE e.error_message END END,
    error_site_id = CASE WHEN e.end_rule IS NOT NULL AND e.is_error THEN e.home_error_site_id END
FROM (
    SELECT
        r.run_id,
        last.ended_ns,
        CASE
            WHEN last.state = 'answered' THEN 'final answer'
            WHEN h.ended_ns IS NOT NULL THEN h.end_rule
            WHEN last.ended_ns < $silent_ns
                THEN CASE last.state WHEN 'waiting' THEN 'unanswered tool call' WHEN 'failed' THEN 'failed call' ELSE 'silence' END
        END AS end_rule,
        last.state != 'answered' AND (last.state = 'failed' OR coalesce(h.status = 'error', false)) AS is_error,
        CASE WHEN h.status = 'error' THEN h.error_type END AS home_error_type,
        h.error_message AS home_error_message,
        h.error_site_id AS home_error_site_id,
        c.error_class,
        c.error_message
    FROM runs AS r
    JOIN (
        SELECT
            conversation_id,
            max(ended_ns) AS ended_ns,
            arg_max(call_id, (started_ns, call_id)) AS call_id,
            arg_max(state, (started_ns, call_id)) AS state,
            arg_max(home, (started_ns, call_id)) AS home
        FROM call_places
        WHERE conversation_id IN (SELECT conversation_id FROM batch_tops)
        GROUP BY conversation_id
    ) AS last ON last.conversation_id = r.conversation_id
    JOIN runs AS h ON h.run_id = last.home
    LEFT JOIN (
        SELECT call_id, error_class, error_message FROM calls
        WHERE call_id IN (SELECT call_id FROM call_places WHERE conversation_id IN (SELECT conversation_id FROM batch_tops))
    ) AS c ON c.call_id = last.call_id
    WHERE r.origin = 'rebuilt'
) AS e
WHERE runs.run_id = e.run_id

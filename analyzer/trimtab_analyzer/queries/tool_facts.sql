-- What is known of tool calls beyond how they ended: what the rules about loops, side effects and tool definitions look at.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per tool call.
--   ran_status    how the execution ended where it was seen running: a result may still read like an error
--   schema_error  how its arguments break the schema that was offered
--   looks         what its result looks like (trimtab_tracer.signals): denied | absent | missing | soft | empty
--   is_keyed      its arguments hold an idempotency key
--   words         CRC-32 of the words it looks something up with; NULL for other tools
--   compensation  the function that its code declares to undo it, by its qualified name
--   undoing       what became of undoing it (records.SagaStep): compensated where that worked in any saga, else what the last
--                 one says; NULL where none took it up
--   undo_error    the error's type where that failed
WITH told AS (
    SELECT call_id, attempt_id, number, signals
    FROM attempts
    WHERE signals IS NOT NULL AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
),
looks AS (
    SELECT tool_id, any_value(look) AS look
    FROM (
        SELECT unnest(map_keys(found)) AS tool_id, unnest(map_values(found)) AS look
        FROM (
            SELECT from_json(signals -> 'answers', '"MAP(VARCHAR, VARCHAR)"') AS found
            FROM told
            WHERE contains(signals::VARCHAR, '"answers"')
        )
    )
    GROUP BY tool_id
),
words AS (
    SELECT tool_id, any_value(words) AS words
    FROM (
        SELECT call_id || ':' || unnest(map_keys(found)) AS tool_id, unnest(map_values(found)) AS words
        FROM (
            SELECT call_id, from_json(signals -> 'queries', '"MAP(VARCHAR, BIGINT[])"') AS found
            FROM told
            WHERE contains(signals::VARCHAR, '"queries"')
        )
    )
    GROUP BY tool_id
),
keyed AS (
    SELECT DISTINCT call_id || ':' || unnest(from_json(signals -> 'keyed', '["BIGINT"]')) AS tool_id
    FROM told
    WHERE contains(signals::VARCHAR, '"keyed"')
),
misfits AS (
    SELECT call_id || ':' || index AS tool_id, any_value(schema_error) AS schema_error
    FROM tool_requests
    WHERE schema_error IS NOT NULL
    GROUP BY ALL
),
undone AS (
    SELECT tool_run_id, arg_max({'status': status, 'error': error_type}, (status = 'compensated', ended_ns)) AS step
    FROM saga_steps
    WHERE tool_run_id IS NOT NULL
    GROUP BY tool_run_id
)
SELECT
    t.tool_id,
    t.args_digest,
    t.result_digest,
    t.result_chars,
    t.mutates,
    coalesce(t.started_ns, 0) AS ran_ns,
    coalesce(t.ended_ns, 0) AS done_ns,
    r.status AS ran_status,
    m.schema_error,
    l.look AS looks,
    k.tool_id IS NOT NULL AS is_keyed,
    w.words,
    r.compensation,
    u.step.status AS undoing,
    u.step.error AS undo_error
FROM tool_calls AS t
LEFT JOIN tool_runs AS r ON r.tool_run_id = t.tool_run_id
LEFT JOIN undone AS u ON u.tool_run_id = t.tool_run_id
LEFT JOIN misfits AS m ON m.tool_id = t.tool_id
LEFT JOIN looks AS l ON l.tool_id = t.tool_id
LEFT JOIN words AS w ON w.tool_id = t.tool_id
LEFT JOIN keyed AS k ON k.tool_id = t.tool_id
WHERE $run_ids::VARCHAR[] IS NULL OR t.run_id IN (SELECT unnest($run_ids::VARCHAR[]))

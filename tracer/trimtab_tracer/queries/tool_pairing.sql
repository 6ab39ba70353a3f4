-- What the pairing of requests and executions needs of the requests.
-- Parameters: relation batch_groups (run_id VARCHAR, name VARCHAR).
-- One row per tool request whose attempt is known, of the last attempt of its call that asked for tools.
WITH calls_asked AS (
    SELECT DISTINCT call_id FROM tool_requests SEMI JOIN batch_groups USING (run_id, name)
),
last_answer AS (
    -- All requests of a call compete, whatever their name: the answer of an earlier attempt was thrown away.
    SELECT r.call_id, r.index, r.run_id, r.name, r.args_digest, a.started_ns
    FROM tool_requests AS r
    SEMI JOIN calls_asked USING (call_id)
    JOIN attempts AS a USING (attempt_id)
    QUALIFY dense_rank() OVER (PARTITION BY r.call_id ORDER BY a.number DESC, r.attempt_id) = 1
),
asked AS (
    SELECT * FROM last_answer SEMI JOIN batch_groups USING (run_id, name)
)
SELECT
    asked.run_id,
    asked.name,
    asked.call_id || ':' || asked.index AS tool_id,
    asked.started_ns,
    asked.call_id,
    asked.index,
    asked.args_digest,
    min(tool_results.seen_ns) AS answered_ns
FROM asked
LEFT JOIN tool_results ON tool_results.tool_id = asked.call_id || ':' || asked.index
GROUP BY ALL

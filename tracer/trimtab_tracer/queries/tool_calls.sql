-- Derive the tool calls of a batch anew from requests, results and observed executions.
-- Parameters: relation batch_tools (call_id VARCHAR), relation batch_tool_runs (tool_run_id VARCHAR), and what belongs to
-- batch_tools: relation batch_tool_ids (tool_id VARCHAR), relation batch_places (run_id VARCHAR).
-- One row per request, and one per execution that answers none.
DELETE FROM tool_calls WHERE call_id IN (SELECT call_id FROM batch_tools);

DELETE FROM tool_calls WHERE call_id IS NULL AND tool_id IN (SELECT tool_run_id FROM batch_tool_runs);

INSERT INTO tool_calls BY NAME
WITH requests AS (
    SELECT r.*, a.ended_ns AS asked_ns, a.tools_offered, coalesce(a.number, 0) AS number
    FROM tool_requests AS r
    LEFT JOIN (
        SELECT attempt_id, ended_ns, tools_offered, number
        FROM attempts
        WHERE call_id IN (SELECT call_id FROM batch_tools)
    ) AS a USING (attempt_id)
    WHERE r.call_id IN (SELECT call_id FROM batch_tools)
    QUALIFY dense_rank() OVER (PARTITION BY r.call_id ORDER BY coalesce(a.number, 0) DESC, r.attempt_id) = 1
),
results AS (
    SELECT *
    FROM tool_results
    WHERE tool_id IN (SELECT tool_id FROM batch_tool_ids)
    QUALIFY row_number() OVER (PARTITION BY tool_id ORDER BY seen_ns, attempt_id) = 1
),
executions AS (
    SELECT * FROM tool_runs WHERE tool_id IS NOT NULL AND run_id IN (SELECT run_id FROM batch_places)
)
SELECT
    q.call_id || ':' || q.index AS tool_id,
    q.run_id,
    q.call_id,
    q.provider_id,
    q.name,
    q.args_digest,
    q.args_valid,
    q.args_error,
    q.args_chars,
    CASE WHEN len(q.tools_offered) > 0 THEN list_contains(q.tools_offered, q.name) END AS offered,
    CASE
        WHEN t.tool_run_id IS NOT NULL THEN 'observed'
        WHEN s.tool_id IS NOT NULL THEN 'inferred'
        ELSE 'requested'
    END AS origin,
    coalesce(t.started_ns, q.asked_ns) AS started_ns,
    coalesce(t.ended_ns, s.seen_ns) AS ended_ns,
    t.tool_run_id IS NULL AS is_upper_bound,
    -- A tool that returned an error as its result ran without an exception: either side may tell.
    CASE WHEN s.status = 'error' THEN 'error' ELSE coalesce(t.status, s.status, 'unknown') END AS status,
    coalesce(t.error_type, s.error_type) AS error_type,
    coalesce(t.error_message, s.error_message) AS error_message,
    coalesce(s.result_digest, t.result_digest) AS result_digest,
    coalesce(s.result_chars, t.result_chars) AS result_chars,
    t.site_id,
    t.mutates,
    t.tool_run_id
FROM requests AS q
LEFT JOIN results AS s ON s.tool_id = q.call_id || ':' || q.index
LEFT JOIN executions AS t ON t.tool_id = q.call_id || ':' || q.index
UNION ALL BY NAME
SELECT
    t.tool_run_id AS tool_id,
    t.run_id,
    t.name,
    t.args_digest,
    'observed' AS origin,
    t.started_ns,
    t.ended_ns,
    false AS is_upper_bound,
    t.status,
    t.error_type,
    t.error_message,
    t.result_digest,
    t.result_chars,
    t.site_id,
    t.mutates,
    t.tool_run_id
FROM tool_runs AS t
WHERE t.tool_run_id IN (SELECT tool_run_id FROM batch_tool_runs) AND t.tool_id IS NULL

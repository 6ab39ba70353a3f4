-- The tool calls that the calls of a batch asked for.
-- Parameters: relation batch_tools (call_id VARCHAR).
-- One row per tool request.
SELECT run_id, name, call_id || ':' || index AS tool_id
FROM tool_requests
WHERE call_id IN (SELECT call_id FROM batch_tools)

-- Run and call of tool calls.
-- Parameters: $tool_ids VARCHAR[].
-- One row per tool call of these that is in the store; call_id is NULL where no model asked for it.
SELECT tool_id, run_id, call_id, name FROM tool_calls WHERE tool_id IN (SELECT unnest($tool_ids::VARCHAR[])) ORDER BY tool_id

-- When tool calls were answered.
-- Parameters: relation batch_tool_ids (tool_id VARCHAR).
-- One row per tool call whose result went back to a model: start of the first request that carried it.
SELECT tool_id, min(seen_ns) AS answered_ns
FROM tool_results
WHERE tool_id IN (SELECT tool_id FROM batch_tool_ids)
GROUP BY tool_id

-- Tool names per run that a batch touches and that have observed executions: their pairing is made anew.
-- Parameters: relation batch_tools (call_id VARCHAR), relation batch_tool_runs (tool_run_id VARCHAR).
-- One row per run and name.
SELECT DISTINCT run_id, name
FROM tool_runs
SEMI JOIN (
    SELECT run_id, name FROM tool_requests SEMI JOIN batch_tools USING (call_id)
    UNION
    SELECT run_id, name FROM tool_runs SEMI JOIN batch_tool_runs USING (tool_run_id)
) USING (run_id, name)

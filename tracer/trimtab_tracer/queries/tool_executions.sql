-- What the pairing of requests and executions needs of the executions.
-- Parameters: relation batch_places (run_id VARCHAR). One row per observed execution in these runs.
SELECT run_id, name, tool_run_id, started_ns, ended_ns, args_digest, provider_id, span_scope, tool_id, same_as
FROM tool_runs
WHERE run_id IN (SELECT run_id FROM batch_places)

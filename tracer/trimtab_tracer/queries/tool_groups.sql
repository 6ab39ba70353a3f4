-- Tool names per run that have observed executions, of the runs that a batch touches.
-- Parameters: relation batch_places (run_id VARCHAR).
-- One row per run and name.
SELECT DISTINCT run_id, name FROM tool_runs WHERE run_id IN (SELECT run_id FROM batch_places)

-- Give runs the service and harness of their process where they name none themselves.
-- Parameters: relation batch_runs (run_id VARCHAR), relation batch_processes (process_id VARCHAR).
UPDATE runs
SET
    service = CASE WHEN runs.service = '' THEN processes.service ELSE runs.service END,
    harness = coalesce(runs.harness, processes.harness)
FROM processes
WHERE
    runs.process_id = processes.process_id
    AND (runs.service = '' OR runs.harness IS NULL)
    AND (
        runs.run_id IN (SELECT run_id FROM batch_runs)
        OR runs.process_id IN (SELECT process_id FROM batch_processes)
    )

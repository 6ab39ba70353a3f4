-- What runs are called.
-- Parameters: $run_ids VARCHAR[].
-- One row per run of these that is in the store.
SELECT run_id, service, name, task, harness
FROM runs
WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
ORDER BY started_ns, run_id

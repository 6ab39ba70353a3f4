-- The runs and the time each took.
-- Parameters: none.
-- One row per run.
--   agent      whose run it is: the service's name
--   ended_ns   NULL where its end is not known (yet)
--   is_split   a process's run whose calls are in runs of their own, its children
SELECT run_id, parent_run_id, service AS agent, started_ns, ended_ns, coalesce(is_split, false) AS is_split
FROM runs
ORDER BY started_ns, run_id

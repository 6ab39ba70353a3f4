-- End the runs of processes that are gone without having said so; each ends with its last record. A worker that its
-- parent ended (a pool is terminated on leaving its block) has not failed: no exception left its run that we know of.
-- Parameters: relation batch_processes (process_id VARCHAR).
UPDATE runs
SET status = CASE WHEN last.is_child THEN 'ok' ELSE 'error' END, end_rule = 'process vanished', ended_ns = greatest(runs.started_ns, coalesce(last.ts_ns, 0))
FROM (
    SELECT open.run_id, open.is_child, max(seen.ts_ns) AS ts_ns
    FROM (
        SELECT run_id, coalesce(is_child, false) AS is_child
        FROM runs
        SEMI JOIN batch_processes USING (process_id)
        LEFT JOIN processes USING (process_id)
        WHERE ended_ns IS NULL AND origin NOT IN ('import', 'rebuilt')
    ) AS open
    LEFT JOIN (
        SELECT run_id, ended_ns AS ts_ns FROM attempts
        UNION ALL
        SELECT home, ended_ns FROM call_places
        UNION ALL
        SELECT run_id, ended_ns FROM tool_runs
        UNION ALL
        SELECT run_id, ended_ns FROM spans
        UNION ALL
        SELECT home, ended_ns FROM gen_ai_spans
        UNION ALL
        SELECT run_id, decided_ns FROM decisions
        UNION ALL
        SELECT run_id, recorded_ns FROM outcomes
    ) AS seen USING (run_id)
    GROUP BY open.run_id, open.is_child
) AS last
WHERE runs.run_id = last.run_id

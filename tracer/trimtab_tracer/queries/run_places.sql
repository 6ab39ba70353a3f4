-- Make places for runs that a batch names but whose start did not come (yet), and tell in them what their records tell.
-- Parameters: relation batch_runs (run_id VARCHAR).
INSERT INTO runs BY NAME
SELECT run_id, '' AS process_id, '' AS service, '' AS name, 'unknown' AS origin, '{}' AS attributes, 0 AS started_ns
FROM batch_runs
ANTI JOIN runs USING (run_id);

UPDATE runs
SET started_ns = coalesce(seen.started_ns, runs.ended_ns, 0), process_id = coalesce(seen.process_id, '')
FROM (
    SELECT run_id, min(ts_ns) AS started_ns, arg_min(process_id, (ts_ns, process_id)) AS process_id
    FROM (
        SELECT run_id, started_ns AS ts_ns, process_id FROM attempts
        UNION ALL
        SELECT run_id, started_ns, process_id FROM tool_runs
        UNION ALL
        SELECT run_id, started_ns, process_id FROM spans
        UNION ALL
        SELECT home, started_ns, process_id FROM gen_ai_spans
        UNION ALL
        SELECT run_id, decided_ns, NULL FROM decisions
        UNION ALL
        SELECT run_id, recorded_ns, NULL FROM outcomes
        UNION ALL
        SELECT run_id, NULL, NULL FROM runs WHERE origin = 'unknown'
    )
    SEMI JOIN (SELECT run_id FROM runs SEMI JOIN batch_runs USING (run_id) WHERE origin = 'unknown') USING (run_id)
    GROUP BY run_id
) AS seen
WHERE runs.run_id = seen.run_id

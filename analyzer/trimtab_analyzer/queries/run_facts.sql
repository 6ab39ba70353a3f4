-- The runs as wholes: what the rules about how runs begin and end look at.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per run, without those of processes whose calls are in runs of their own; ordered by start.
--   kind          runs of one kind are compared with each other: service and name
--   error_type    exception class that ended it; NULL where none did
--   is_vanished   its process was gone without a word
--   has_children  other runs were made inside it
--   n_calls, n_tools  LLM calls and tool calls
SELECT
    r.run_id,
    r.service || '/' || r.name AS kind,
    r.service,
    r.task,
    r.origin,
    r.started_ns,
    r.ended_ns,
    r.status,
    r.error_type,
    r.error_message,
    r.error_site_id,
    r.end_rule IS NOT DISTINCT FROM 'process vanished' AS is_vanished,
    children.parent_run_id IS NOT NULL AS has_children,
    coalesce(c.n, 0) AS n_calls,
    coalesce(t.n, 0) AS n_tools
FROM runs AS r
LEFT JOIN (SELECT DISTINCT parent_run_id FROM runs WHERE parent_run_id IS NOT NULL) AS children
    ON children.parent_run_id = r.run_id
LEFT JOIN (SELECT run_id, count(*) AS n FROM calls GROUP BY run_id) AS c ON c.run_id = r.run_id
LEFT JOIN (SELECT run_id, count(*) AS n FROM tool_calls GROUP BY run_id) AS t ON t.run_id = r.run_id
WHERE r.is_split IS NOT true AND ($run_ids::VARCHAR[] IS NULL OR r.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
ORDER BY r.started_ns, r.run_id

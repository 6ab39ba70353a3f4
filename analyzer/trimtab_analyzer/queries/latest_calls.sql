-- The last calls that say what is in force at some places.
-- Parameters: $knobs VARCHAR[]: whose decisions; $last BIGINT: how many calls of each place and model.
-- One row per place and call, the latest first: calls with decisions of these knobs that were made there or at a place that
-- decided one of them. Calls whose decisions have not arrived are missing. model is the one that the call's first request
-- named.
WITH decided AS (
    SELECT DISTINCT call_id, site_id FROM decisions WHERE knob IN (SELECT unnest($knobs::VARCHAR[])) AND call_id IS NOT NULL
),
touching AS (
    SELECT call_id, site_id FROM decided
    UNION
    SELECT call_id, c.site_id FROM calls AS c SEMI JOIN decided USING (call_id)
),
asked AS (
    SELECT call_id, arg_min(model, number) AS model, min(started_ns) AS started_ns FROM attempts GROUP BY call_id
)
SELECT t.site_id, a.model, t.call_id, a.started_ns
FROM touching AS t
JOIN asked AS a USING (call_id)
QUALIFY row_number() OVER (PARTITION BY t.site_id, a.model ORDER BY a.started_ns DESC, t.call_id DESC) <= $last
ORDER BY t.site_id, a.started_ns DESC, t.call_id DESC

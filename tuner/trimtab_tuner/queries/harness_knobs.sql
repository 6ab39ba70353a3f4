-- Purpose: which settings held for the calls of each line, and where each was decided.
-- Parameters: $run_ids VARCHAR[]: the runs looked at; $most BIGINT: values listed per line and knob.
-- One row per line, knob, value, source and place of the decision, the last used ones first. of_site: the line of the calls, or of the
--   decision itself where it names no call; decided_at: the line that decided; calls: for how many it held, 0 where it names none; values_total: how many
--   such rows the knob has at the line; last_ns: when it was last in force.
WITH placed AS (
    SELECT c.site_id AS of_site, d.knob, d.value::VARCHAR AS value, d.source, d.site_id AS decided_at, d.site_role, d.decided_ns, 1 AS calls
    FROM decisions AS d
    JOIN calls AS c USING (call_id)
    WHERE c.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
    UNION ALL
    SELECT site_id, knob, value::VARCHAR, source, site_id, site_role, decided_ns, 0
    FROM decisions
    WHERE call_id IS NULL AND run_id IN (SELECT unnest($run_ids::VARCHAR[]))
)
SELECT
    of_site,
    knob,
    value::JSON AS value,
    source,
    decided_at,
    arg_max(site_role, decided_ns) AS role,
    sum(calls)::BIGINT AS calls,
    max(decided_ns) AS last_ns,
    count(*) OVER (PARTITION BY of_site, knob) AS values_total
FROM placed
GROUP BY of_site, knob, placed.value, source, decided_at
QUALIFY row_number() OVER (PARTITION BY of_site, knob ORDER BY max(decided_ns) DESC, placed.value, source, decided_at) <= $most
ORDER BY of_site, knob, last_ns DESC, placed.value, source, decided_at

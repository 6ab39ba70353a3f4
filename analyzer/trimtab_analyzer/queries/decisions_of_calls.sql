-- What was decided for calls themselves. Most of what decisions are asked for, so it reads one table and sorts nothing.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $knobs VARCHAR[]; $every_call BOOLEAN: whether relation only_calls
-- (call_id VARCHAR) is left aside, which otherwise names the calls; $latest BOOLEAN: of several decisions of a call and knob
-- only the last one. A window over all calls takes ten times as long as the rest, and hardly ever is there a second one: ask
-- without first.
-- One row per call and knob, or decision, where one was recorded.
--   value    JSON text; 'null' where the code set nothing
--   site_id  the line that decided
WITH found AS (
    SELECT call_id, knob, value::VARCHAR AS value, source, site_id, decided_ns, decision_id
    FROM decisions
    WHERE knob IN (SELECT unnest($knobs::VARCHAR[]))
      AND call_id IS NOT NULL
      AND ($every_call OR call_id IN (SELECT call_id FROM only_calls))
      AND ($run_ids::VARCHAR[] IS NULL OR call_id IN (
          SELECT call_id FROM calls WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
      ))
)
SELECT call_id, knob, value, source, site_id FROM found WHERE NOT $latest
UNION ALL
SELECT call_id, knob, value, source, site_id FROM found WHERE $latest
QUALIFY row_number() OVER (PARTITION BY call_id, knob ORDER BY decided_ns DESC, decision_id DESC) = 1

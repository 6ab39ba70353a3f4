-- The decision of each knob in force for each call.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $knobs VARCHAR[]; $every_call BOOLEAN: whether relation only_calls
-- (call_id VARCHAR) is left aside, which otherwise names the calls.
-- One row per call and knob, where a decision was recorded: the call's own one, else the run's latest one before the call began.
--   value    JSON text; 'null' where the code set nothing
--   site_id  the line that decided
WITH asked AS (
    -- What a process decided before anybody knew its runs is in the run that its calls were recorded in.
    SELECT call_id, coalesce(call_places.home, calls.run_id) AS run_id, calls.started_ns
    FROM calls
    LEFT JOIN call_places USING (call_id)
    WHERE ($run_ids::VARCHAR[] IS NULL OR calls.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
      AND ($every_call OR call_id IN (SELECT call_id FROM only_calls))
),
of_knobs AS (
    SELECT * FROM decisions WHERE knob IN (SELECT unnest($knobs::VARCHAR[]))
),
of_call AS (
    SELECT a.call_id, d.knob, d.value, d.source, d.site_id
    FROM asked AS a
    JOIN of_knobs AS d USING (call_id)
    QUALIFY row_number() OVER (PARTITION BY a.call_id, d.knob ORDER BY d.decided_ns DESC, d.decision_id DESC) = 1
),
run_wide AS (
    SELECT * FROM of_knobs WHERE call_id IS NULL
    QUALIFY row_number() OVER (PARTITION BY run_id, knob, decided_ns ORDER BY decision_id DESC) = 1
),
wanted AS (
    SELECT a.call_id, a.run_id, a.started_ns, k.knob
    FROM asked AS a
    JOIN (SELECT DISTINCT run_id, knob FROM run_wide) AS k USING (run_id)
    ANTI JOIN of_call AS o ON o.call_id = a.call_id AND o.knob = k.knob
),
of_run AS (
    SELECT w.call_id, d.knob, d.value, d.source, d.site_id
    FROM wanted AS w
    ASOF JOIN run_wide AS d ON d.run_id = w.run_id AND d.knob = w.knob AND w.started_ns >= d.decided_ns
)
SELECT call_id, knob, value::VARCHAR AS value, source, site_id
FROM (FROM of_call UNION ALL FROM of_run)
ORDER BY call_id, knob

-- What was decided for whole runs, as it was in force when calls began: what holds where a call has no decision of its own.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $knobs VARCHAR[]; $every_call BOOLEAN: whether relation only_calls
-- (call_id VARCHAR) is left aside, which otherwise names the calls.
-- One row per call and knob: the run's latest decision before the call began. Columns as in queries/decisions_of_calls.sql.
WITH asked AS (
    -- What a process decided before anybody knew its runs is in the run that its calls were recorded in.
    SELECT call_id, coalesce(call_places.home, calls.run_id) AS run_id, calls.started_ns
    FROM calls
    LEFT JOIN call_places USING (call_id)
    WHERE ($run_ids::VARCHAR[] IS NULL OR calls.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
      AND ($every_call OR call_id IN (SELECT call_id FROM only_calls))
),
of_runs AS (
    SELECT * FROM decisions WHERE knob IN (SELECT unnest($knobs::VARCHAR[])) AND call_id IS NULL
    QUALIFY row_number() OVER (PARTITION BY run_id, knob, decided_ns ORDER BY decision_id DESC) = 1
),
wanted AS (
    SELECT a.call_id, a.run_id, a.started_ns, k.knob
    FROM asked AS a
    JOIN (SELECT DISTINCT run_id, knob FROM of_runs) AS k USING (run_id)
)
SELECT w.call_id, d.knob, d.value::VARCHAR AS value, d.source, d.site_id
FROM wanted AS w
ASOF JOIN of_runs AS d ON d.run_id = w.run_id AND d.knob = w.knob AND w.started_ns >= d.decided_ns

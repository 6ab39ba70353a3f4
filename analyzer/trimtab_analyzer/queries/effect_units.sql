-- Which value of each knob each run got at each line.
-- Parameters: $knobs VARCHAR[]: knobs to tell of even where they never change.
-- One row per run, line and knob, of knobs that had several values at the line, in the order of the first of them. A decision that holds
-- for a whole process counts for each of the runs that its calls were put into.
--   value           JSON text of its value; NULL where it had several within the run
--   own             JSON text of the value that the code or a default set there, in whatever run: the latest; NULL where none did
--   is_drawn        an experiment drew every one of its decisions, with a propensity below 1
--   propensity      of the first of them; policy_version likewise (NULL where no policy steered)
--   latency_s       mean seconds of the calls that the decisions are about, waiting included; of all calls of the run where they
--                   name no call; NULL without a call
WITH varied AS (
    -- Most knobs never change, and decisions are the bulk of a store.
    SELECT site_id, knob
    FROM decisions
    GROUP BY site_id, knob
    HAVING min(value::VARCHAR) <> max(value::VARCHAR) OR list_contains($knobs::VARCHAR[], knob)
),
kept AS (
    SELECT d.* FROM decisions AS d SEMI JOIN varied USING (site_id, knob)
),
placed AS (
    SELECT d.*, coalesce(c.run_id, d.run_id) AS of_run, (c.ended_ns - c.started_ns) / 1e9 AS took_s
    FROM kept AS d
    LEFT JOIN calls AS c USING (call_id)
    WHERE d.call_id IS NOT NULL
    UNION ALL
    SELECT d.*, coalesce(child.run_id, d.run_id) AS of_run, NULL AS took_s
    FROM kept AS d
    LEFT JOIN (FROM runs WHERE origin = 'rebuilt') AS child ON child.parent_run_id = d.run_id
    WHERE d.call_id IS NULL
),
units AS (
    SELECT
        of_run AS run_id,
        site_id,
        knob,
        CASE WHEN min(value::VARCHAR) = max(value::VARCHAR) THEN min(value::VARCHAR) END AS value,
        bool_and(source = 'experiment' AND propensity < 1) AS is_drawn,
        arg_min(propensity, decided_ns) AS propensity,
        arg_min(policy_version, decided_ns) AS policy_version,
        min(decided_ns) AS decided_ns,
        avg(took_s) AS took_s
    FROM placed
    GROUP BY of_run, site_id, knob
),
own AS (
    SELECT site_id, knob, arg_max(value::VARCHAR, decided_ns) AS own
    FROM kept
    WHERE source IN ('code', 'default')
    GROUP BY site_id, knob
),
all_calls AS (
    SELECT run_id, avg((ended_ns - started_ns) / 1e9) AS took_s FROM calls GROUP BY run_id
)
SELECT
    u.run_id,
    u.site_id,
    u.knob,
    u.value,
    own.own,
    u.is_drawn,
    u.propensity,
    u.policy_version,
    u.decided_ns,
    coalesce(u.took_s, a.took_s) AS latency_s
FROM units AS u
LEFT JOIN own USING (site_id, knob)
LEFT JOIN all_calls AS a USING (run_id)
ORDER BY u.decided_ns, u.run_id, u.site_id, u.knob

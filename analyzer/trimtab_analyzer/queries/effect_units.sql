-- Which value of each knob each run got at each line.
-- Parameters: none.
-- One row per run, line and knob for which a decision was recorded, in the order of the first of them. A decision that holds
-- for a whole process counts for each of the runs that its calls were put into.
--   value           JSON text of its value; NULL where it had several within the run
--   own             JSON text of the value that the code or a default set there, in whatever run: the latest; NULL where none did
--   is_drawn        an experiment drew every one of its decisions, with a propensity below 1
--   propensity      of the first of them; policy_version likewise (NULL where no policy steered)
--   latency_s       mean seconds of the calls that the decisions are about, waiting included; of all calls of the run where they
--                   name no call; NULL without a call
WITH placed AS (
    SELECT d.*, coalesce(c.run_id, child.run_id, d.run_id) AS of_run, (c.ended_ns - c.started_ns) / 1e9 AS took_s
    FROM decisions AS d
    LEFT JOIN calls AS c ON c.call_id = d.call_id
    LEFT JOIN runs AS child ON d.call_id IS NULL AND child.parent_run_id = d.run_id AND child.origin = 'rebuilt'
),
units AS (
    SELECT
        of_run AS run_id,
        site_id,
        knob,
        CASE WHEN count(DISTINCT value::VARCHAR) = 1 THEN min(value::VARCHAR) END AS value,
        bool_and(source = 'experiment' AND propensity < 1) AS is_drawn,
        arg_min(propensity, decided_ns) AS propensity,
        arg_min(policy_version, decided_ns) AS policy_version,
        min(decided_ns) AS decided_ns,
        avg(took_s) AS took_s
    FROM placed
    GROUP BY ALL
),
own AS (
    SELECT site_id, knob, arg_max(value::VARCHAR, decided_ns) AS own
    FROM decisions
    WHERE source IN ('code', 'default')
    GROUP BY ALL
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

-- Units of one experiment of which something can be learned that was not: one run at one line, and what it drew there. That is all of
-- a unit whose run has ended; or what came of it, where that was not known then.
-- Parameters: $experiment_id, $knob, $rule VARCHAR: the experiment and its rule, whose parts are called <rule>.<n>; $since_ns BIGINT: its
-- start; $now_ns, $wait_ns BIGINT: a run that raised longer ago than that has failed, unless somebody says otherwise; $context_key VARCHAR: the
-- attribute of the run by which contexts are told apart, or NULL; $limit BIGINT.
-- One row per unit, in the order of the draws:
--   run_id, site_id
--   value        JSON text of what it got; NULL where another value was drawn within the run
--   drawn        'incumbent' where that was drawn: the value is the code's own, and may be that of an arm
--   propensity   of its first draw; decided_ns when
--   context      text of the run's attribute; NULL without
--   quality      0 to 1, of the best outcome that counts (the run's own before that of a run around it, explicit before evaluator, the
--                latest); success goes before a score, and a score outside of 0 to 1 says nothing; NULL where there is none
--   raised       an exception ended the run, longer ago than $wait_ns
--   is_late      all but what came of it was learned before
--   is_first     it stands for its run where what that cost is counted: the first line that drew a challenger, else the first
--   cost_musd    of all calls of the run; NULL where an answered one has no known cost
--   latency_s    mean seconds of its calls under this knob, waiting included; of all its calls where the draw names none
--   known_ns     end of the run; of a late one when its quality was said
--   failed       one of these calls got no answer
WITH RECURSIVE drawn AS (
    SELECT
        coalesce(c.run_id, d.run_id) AS run_id,
        d.site_id,
        d.value::VARCHAR AS value,
        coalesce(d.drawn, d.value::VARCHAR) AS arm,
        d.drawn,
        d.propensity,
        d.decided_ns,
        (c.ended_ns - c.started_ns) / 1e9 AS took_s,
        c.status = 'error' AS is_lost
    FROM decisions AS d
    LEFT JOIN calls AS c USING (call_id)
    WHERE d.source = 'experiment'
      AND d.knob = $knob
      AND d.decided_ns >= $since_ns
      AND (d.rule_id = $rule OR starts_with(d.rule_id, $rule || '.'))
),
units AS (
    SELECT
        run_id,
        site_id,
        CASE WHEN min(arm) = max(arm) THEN arg_min(value, decided_ns) END AS value,
        arg_min(drawn, decided_ns) AS drawn,
        arg_min(propensity, decided_ns) AS propensity,
        min(decided_ns) AS decided_ns,
        avg(took_s) AS took_s,
        bool_or(is_lost) AS is_lost,
        row_number() OVER (
            PARTITION BY run_id ORDER BY arg_min(drawn, decided_ns) IS NOT NULL, min(decided_ns), site_id
        ) = 1 AS is_first
    FROM drawn
    GROUP BY run_id, site_id
),
new AS (
    SELECT
        u.*,
        r.attributes,
        r.ended_ns,
        r.status = 'error' AND r.ended_ns <= $now_ns - $wait_ns AS raised,
        k.run_id IS NOT NULL AS is_late
    FROM units AS u
    JOIN runs AS r USING (run_id)
    LEFT JOIN (FROM campaign_units WHERE experiment_id = $experiment_id) AS k
        ON k.run_id = u.run_id AND k.site_id = u.site_id
    WHERE r.ended_ns IS NOT NULL
      AND k.has_quality IS NOT true
),
-- A run inside a run that nobody judged came to what the one around it came to.
around AS (
    SELECT n.run_id, n.run_id AS outer_id, 0 AS depth FROM (SELECT DISTINCT run_id FROM new) AS n
    UNION ALL
    SELECT a.run_id, r.parent_run_id, a.depth + 1
    FROM around AS a
    JOIN runs AS r ON r.run_id = a.outer_id
    WHERE r.parent_run_id IS NOT NULL AND r.origin = 'explicit' AND a.depth < 8
),
said AS (
    SELECT
        a.run_id,
        arg_min(
            coalesce(o.success::INTEGER::DOUBLE, o.score),
            (a.depth, o.source <> 'explicit', -o.recorded_ns, o.outcome_id)
        ) AS quality,
        arg_min(o.recorded_ns, (a.depth, o.source <> 'explicit', -o.recorded_ns, o.outcome_id)) AS recorded_ns
    FROM around AS a
    JOIN outcomes AS o ON o.run_id = a.outer_id
    WHERE o.source IN ('explicit', 'evaluator')
      AND (o.success IS NOT NULL OR o.score BETWEEN 0 AND 1)
    GROUP BY a.run_id
),
spent AS (
    SELECT
        c.run_id,
        CASE WHEN count_if(c.cost_musd IS NULL AND c.status <> 'error') = 0 THEN coalesce(sum(c.cost_musd), 0) END AS cost_musd,
        avg((c.ended_ns - c.started_ns) / 1e9) AS took_s,
        bool_or(c.status = 'error') AS is_lost
    FROM calls AS c
    SEMI JOIN new USING (run_id)
    GROUP BY c.run_id
)
SELECT
    n.run_id,
    n.site_id,
    n.value,
    n.drawn,
    n.propensity,
    n.decided_ns,
    CASE WHEN $context_key IS NOT NULL THEN json_extract_string(n.attributes, '$."' || $context_key || '"') END AS context,
    s.quality,
    n.raised,
    n.is_late,
    n.is_first,
    CASE WHEN n.is_late THEN coalesce(s.recorded_ns, n.ended_ns) ELSE n.ended_ns END AS known_ns,
    p.cost_musd::BIGINT AS cost_musd,
    coalesce(n.took_s, p.took_s) AS latency_s,
    coalesce(n.is_lost, p.is_lost, false) AS failed
FROM new AS n
LEFT JOIN said AS s USING (run_id)
LEFT JOIN spent AS p USING (run_id)
WHERE NOT n.is_late OR s.quality IS NOT NULL OR n.raised
ORDER BY n.decided_ns, n.run_id, n.site_id
LIMIT $limit

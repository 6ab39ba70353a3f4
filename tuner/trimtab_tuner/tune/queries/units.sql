-- Units of one experiment of which something can be learned that was not: one run at one line, and what it drew there. That is all of
-- a unit whose run has ended; or what came of it, where that was not known then.
-- Parameters: $experiment_id, $knob, $rule VARCHAR: the experiment and its rule, whose parts are called <rule>.<n>; $since_ns BIGINT: its
-- start; $now_ns, $wait_ns BIGINT: a run that raised longer ago than that has failed, unless somebody says otherwise; $context_key VARCHAR: the
-- attribute of the run by which contexts are told apart, or NULL; $limit BIGINT.
-- One row per unit, in the order of the draws:
--   run_id, site_id
--   value        JSON text of what it got; NULL where that changed within the run
--   propensity   of its first draw; decided_ns when
--   context      text of the run's attribute; NULL without
--   success      of the best outcome that counts (explicit before evaluator); score likewise; NULL where there is none
--   raised       an exception ended the run, longer ago than $wait_ns
--   is_late      all but what came of it was learned before
--   cost_musd    of all calls of the run; NULL where an answered one has no known cost
--   latency_s    mean seconds of its calls under this knob, waiting included; of all its calls where the draw names none
--   ended_ns     end of the run
--   failed       one of these calls got no answer
WITH drawn AS (
    SELECT
        coalesce(c.run_id, d.run_id) AS run_id,
        d.site_id,
        d.value::VARCHAR AS value,
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
        CASE WHEN min(value) = max(value) THEN min(value) END AS value,
        arg_min(propensity, decided_ns) AS propensity,
        min(decided_ns) AS decided_ns,
        avg(took_s) AS took_s,
        bool_or(is_lost) AS is_lost
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
said AS (
    SELECT
        run_id,
        arg_min(success, place) FILTER (success IS NOT NULL) AS success,
        arg_min(score, place) FILTER (score IS NOT NULL) AS score
    FROM (
        SELECT
            o.run_id,
            o.success,
            o.score,
            row_number() OVER (PARTITION BY o.run_id ORDER BY o.source = 'explicit' DESC, o.recorded_ns DESC, o.outcome_id DESC) AS place
        FROM outcomes AS o
        SEMI JOIN new USING (run_id)
        WHERE o.source IN ('explicit', 'evaluator')
    )
    GROUP BY run_id
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
    n.propensity,
    n.decided_ns,
    CASE WHEN $context_key IS NOT NULL THEN json_extract_string(n.attributes, '$."' || $context_key || '"') END AS context,
    s.success,
    s.score,
    n.raised,
    n.is_late,
    n.ended_ns,
    p.cost_musd::BIGINT AS cost_musd,
    coalesce(n.took_s, p.took_s) AS latency_s,
    coalesce(n.is_lost, p.is_lost, false) AS failed
FROM new AS n
LEFT JOIN said AS s USING (run_id)
LEFT JOIN spent AS p USING (run_id)
WHERE NOT n.is_late OR s.success IS NOT NULL OR s.score IS NOT NULL OR n.raised
ORDER BY n.decided_ns, n.run_id, n.site_id
LIMIT $limit

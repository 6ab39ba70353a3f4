-- What the runs at a place came to: those that obeyed a rule, and those before it.
-- Parameters: $knob, $rule VARCHAR; $site VARCHAR or NULL for every line; $since_ns BIGINT: when the rule came into the policy; $most BIGINT.
-- One row per run of which it is known, in the order of their ends, of each side the last $most:
--   obeyed    it obeyed the rule; else it ended before the rule was there
--   quality   0 to 1, of the best outcome that counts; 0 of a run that an exception ended and nobody judged
WITH touched AS (
    SELECT
        coalesce(c.run_id, d.run_id) AS run_id,
        bool_or(d.rule_id IS NOT DISTINCT FROM $rule) AS obeyed
    FROM decisions AS d
    LEFT JOIN calls AS c USING (call_id)
    WHERE d.knob = $knob
      AND ($site IS NULL OR $site IN (d.site_id, c.site_id))
    GROUP BY ALL
),
said AS (
    SELECT run_id, success, score, source, recorded_ns, outcome_id
    FROM outcomes
    WHERE source IN ('explicit', 'evaluator')
),
judged AS (
    SELECT
        run_id,
        coalesce(success::INTEGER::DOUBLE, CASE WHEN score BETWEEN 0 AND 1 THEN score END) AS quality
    FROM said
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY source = 'explicit' DESC, recorded_ns DESC, outcome_id DESC) = 1
),
known AS (
    SELECT
        t.obeyed,
        r.run_id,
        r.ended_ns,
        coalesce(j.quality, CASE WHEN r.status = 'error' THEN 0.0 END) AS quality
    FROM touched AS t
    JOIN runs AS r USING (run_id)
    LEFT JOIN judged AS j USING (run_id)
    WHERE r.ended_ns IS NOT NULL
      AND (t.obeyed OR r.ended_ns < $since_ns)
)
SELECT obeyed, quality
FROM known
WHERE quality IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY obeyed ORDER BY ended_ns DESC, run_id DESC) <= $most
ORDER BY obeyed, ended_ns, run_id

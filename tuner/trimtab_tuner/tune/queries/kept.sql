-- What the runs at a place came to: those that obeyed a rule since it is in force, and those before it.
-- Parameters: $knob, $rule VARCHAR; $site, $service, $model, $name VARCHAR, each NULL for any: the rule's match; $context JSON: attributes of
-- the run that it matches, or NULL; $since_ns BIGINT: when the rule came into the policy; $most BIGINT.
-- One row per run that has ended, in the order of their ends, of each side the last $most:
--   obeyed    it obeyed the rule; else it ended before the rule was there
--   quality   0 to 1, of the best outcome that counts (explicit before evaluator, the latest); NULL where nobody said
--   raised    an exception ended it
WITH touched AS (
    SELECT
        coalesce(c.run_id, d.run_id) AS run_id,
        bool_or(d.rule_id IS NOT DISTINCT FROM $rule AND d.decided_ns >= $since_ns) AS obeyed,
        bool_or(d.rule_id IS NOT DISTINCT FROM $rule) AS ever_obeyed
    FROM decisions AS d
    LEFT JOIN calls AS c USING (call_id)
    WHERE d.knob = $knob
      AND ($site IS NULL OR $site IN (d.site_id, c.site_id))
      -- The store knows the model that was sent: of calls that obeyed the rule not the one that was asked for.
      AND ($model IS NULL OR c.model = $model OR d.rule_id IS NOT DISTINCT FROM $rule)
    GROUP BY ALL
),
judged AS (
    SELECT
        o.run_id,
        coalesce(o.success::INTEGER::DOUBLE, o.score) AS quality
    FROM outcomes AS o
    SEMI JOIN touched USING (run_id)
    WHERE o.source IN ('explicit', 'evaluator')
      AND (o.success IS NOT NULL OR o.score BETWEEN 0 AND 1)
    QUALIFY row_number() OVER (
        PARTITION BY o.run_id ORDER BY o.source = 'explicit' DESC, o.recorded_ns DESC, o.outcome_id DESC
    ) = 1
)
SELECT t.obeyed, j.quality, r.status = 'error' AS raised
FROM touched AS t
JOIN runs AS r USING (run_id)
LEFT JOIN judged AS j USING (run_id)
WHERE r.ended_ns IS NOT NULL
  AND (t.obeyed OR (NOT t.ever_obeyed AND r.ended_ns < $since_ns))
  AND ($service IS NULL OR r.service = $service)
  AND ($name IS NULL OR r.name = $name)
  AND ($context IS NULL OR json_contains(r.attributes, $context::JSON))
QUALIFY row_number() OVER (PARTITION BY t.obeyed ORDER BY r.ended_ns DESC, r.run_id DESC) <= $most
ORDER BY t.obeyed, r.ended_ns, r.run_id

-- Purpose: how often each value of an experiment was drawn, over time.
-- Parameters: $knob, $rule VARCHAR: the experiment's, whose rules are called <rule> and <rule>.<n>; $bin_ns BIGINT: width of a stretch;
--   $since_ns BIGINT.
-- One row per stretch and arm: at_ns its begin, arm ('incumbent' or JSON text of the value), units: runs at a line.
SELECT
    (d.decided_ns // $bin_ns * $bin_ns)::BIGINT AS at_ns,
    coalesce(d.drawn, d.value::VARCHAR) AS arm,
    count(DISTINCT coalesce(c.run_id, d.run_id) || ' ' || d.site_id) AS units
FROM decisions AS d
LEFT JOIN calls AS c USING (call_id)
WHERE d.source = 'experiment'
  AND d.knob = $knob
  AND d.decided_ns >= $since_ns
  AND (d.rule_id = $rule OR starts_with(d.rule_id, $rule || '.'))
GROUP BY ALL
ORDER BY at_ns, arm

-- The newest attempts of an experiment's runs that were priced by the list, by what their run drew.
-- Parameters: $knob, $rule VARCHAR: the experiment's, whose rules are called <rule> and <rule>.<n>; $since_ns BIGINT: attempts from then on;
-- $most BIGINT: of each arm.
-- One row per attempt: arm ('incumbent', or JSON text of the value), what its price depends on, and cost_computed_musd, what it cost.
WITH drawn AS (
    SELECT coalesce(c.run_id, d.run_id) AS run_id, min(coalesce(d.drawn, d.value::VARCHAR)) AS arm
    FROM decisions AS d
    LEFT JOIN calls AS c USING (call_id)
    WHERE d.source = 'experiment'
      AND d.knob = $knob
      AND (d.rule_id = $rule OR starts_with(d.rule_id, $rule || '.'))
    GROUP BY ALL
    HAVING min(coalesce(d.drawn, d.value::VARCHAR)) = max(coalesce(d.drawn, d.value::VARCHAR))
)
SELECT
    w.arm, a.api, a.provider, a.host, a.path, a.started_ns, a.model, a.response_model, a.params, a.http_status, a.error_type,
    a.input_tokens, a.cache_read_tokens, a.cache_write_tokens, a.output_tokens, a.reasoning_tokens, a.cache_write_1h_tokens,
    a.input_audio_tokens, a.cache_audio_read_tokens, a.output_audio_tokens, a.output_image_tokens, a.web_searches,
    a.service_tier, a.speed, a.inference_geo, a.cost_reported_musd, a.cost_computed_musd
FROM attempts AS a
JOIN drawn AS w USING (run_id)
WHERE a.cost_source = 'estimated' AND a.cost_computed_musd IS NOT NULL AND a.started_ns >= $since_ns
QUALIFY row_number() OVER (PARTITION BY w.arm ORDER BY a.started_ns DESC, a.attempt_id) <= $most
ORDER BY w.arm, a.started_ns, a.attempt_id

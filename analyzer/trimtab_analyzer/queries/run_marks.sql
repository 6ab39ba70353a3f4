-- A digest per run of every row that its waste is computed from, so that what changed is seen in the rows themselves, whoever
-- wrote them: collector, import, erasure, new prices.
-- Parameters: $salt VARCHAR: what else counts for all runs; $broken VARCHAR[]: tools that fail most of the time; $knobs VARCHAR[]:
-- knobs whose decisions count; $oversized_chars BIGINT.
-- One row per run, and per id of a run that is named but not there.
--   mark   of its own rows. Digests are added up, so the order of rows does not matter; ids of rows are left out where other
--          columns tell rows apart, because long texts are what takes the time
--   calls  attempts of LLM calls
WITH cached AS (
    SELECT DISTINCT host, model, true AS is_cached FROM attempts WHERE cache_read_tokens > 0
),
marks AS (
    SELECT run_id, sum(hash(parent_run_id, service, started_ns, ended_ns, is_split, $salt)) AS mark, 0 AS calls
    FROM runs
    GROUP BY run_id
    UNION ALL
    SELECT
        a.run_id,
        sum(hash(
            a.attempt_id, a.number, a.started_ns, a.ended_ns, a.api, a.host, a.path, a.site_id, a."end", a.error_class, a.error_type,
            a.http_status, a.body_digest, a.timeout_s, a.provider, a.model, a.response_model, a.previous_response_id, a.finish_reason,
            a.input_tokens, a.cache_read_tokens, a.cache_write_tokens, a.output_tokens, a.reasoning_tokens, a.usage_source,
            a.cost_musd, a.cost_reported_musd, a.message_count, a.prompt_digest, a.tools_digest, a.params, a.call_id, p.is_cached,
            a.cache_write_1h_tokens, a.input_audio_tokens, a.cache_audio_read_tokens, a.output_audio_tokens, a.output_image_tokens,
            a.web_searches, a.service_tier, a.speed, a.inference_geo
        )),
        count(*)
    FROM attempts AS a
    LEFT JOIN cached AS p ON p.host = a.host AND p.model = a.model
    GROUP BY a.run_id
    UNION ALL
    SELECT run_id, sum(hash(call_id, site_id, started_ns, ended_ns, wait_ns, rejected_by_call_id, conversation_id)), 0
    FROM calls
    GROUP BY run_id
    UNION ALL
    SELECT run_id, sum(hash(tool_calls, list_contains($broken::VARCHAR[], name))), 0 FROM tool_calls GROUP BY run_id
    UNION ALL
    SELECT run_id, sum(hash(call_id, index, schema_error)), 0 FROM tool_requests WHERE schema_error IS NOT NULL GROUP BY run_id
    UNION ALL
    SELECT a.run_id, sum(hash(r.tool_id, r.attempt_id, r.seen_ns, r.result_chars)), 0
    FROM tool_results AS r
    JOIN attempts AS a USING (attempt_id)
    WHERE r.result_chars > $oversized_chars
    GROUP BY a.run_id
    UNION ALL
    SELECT run_id, sum(hash(knob, value, source, site_id, decided_ns, call_id IS NULL)), 0
    FROM decisions
    WHERE knob IN (SELECT unnest($knobs::VARCHAR[]))
    GROUP BY run_id
    UNION ALL
    -- What a process decided before anybody knew its runs.
    SELECT h.run_id, sum(hash(d.decision_id, d.knob, d.value, d.source, d.site_id, d.decided_ns)), 0
    FROM (SELECT DISTINCT run_id, home FROM call_places WHERE home <> run_id) AS h
    JOIN decisions AS d ON d.run_id = h.home AND d.call_id IS NULL
    WHERE d.knob IN (SELECT unnest($knobs::VARCHAR[]))
    GROUP BY h.run_id
    UNION ALL
    SELECT run_id, sum(hash(outcome_id, recorded_ns, success, source)), 0 FROM outcomes GROUP BY run_id
    UNION ALL
    SELECT c.run_id, sum(hash(g.call_id, g.agent)), 0
    FROM call_agents AS g
    JOIN calls AS c USING (call_id)
    GROUP BY c.run_id
)
SELECT run_id, (sum(mark) % 18446744073709551616)::UBIGINT AS mark, sum(calls)::BIGINT AS calls
FROM marks
GROUP BY run_id
ORDER BY run_id

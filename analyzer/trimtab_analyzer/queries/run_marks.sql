-- A digest per run of every row that its waste is computed from, so that what changed is seen in the rows themselves, whoever
-- wrote them: collector, import, erasure, new prices.
-- Parameters: $salt VARCHAR: what else counts for all runs; $broken VARCHAR[]: tools that fail most of the time;
-- $oversized_chars BIGINT.
-- One row per run, and per id of a run that is named but not there.
--   mark   of its own rows. Digests are added up, so the order of rows does not matter. Ids of rows are left out, because long
--          texts are what takes the time: times and the other columns tell rows apart
--   calls  attempts of LLM calls
WITH marks AS (
    SELECT run_id, sum(hash(parent_run_id, service, started_ns, ended_ns, is_split, $salt)) AS mark, 0 AS calls
    FROM runs
    GROUP BY run_id
    UNION ALL
    SELECT
        run_id,
        sum(hash(
            number, started_ns, ended_ns, api, host, path, site_id, "end", error_class, error_type, http_status, body_digest, timeout_s,
            provider, model, response_model, previous_response_id, finish_reason, input_tokens, cache_read_tokens,
            cache_write_tokens, output_tokens, reasoning_tokens, usage_source, cost_musd, cost_reported_musd, message_count,
            prompt_digest, tools_digest, params, cache_write_1h_tokens, input_audio_tokens, cache_audio_read_tokens,
            output_audio_tokens, output_image_tokens, web_searches, service_tier, speed, inference_geo
        )),
        count(*)
    FROM attempts
    GROUP BY run_id
    UNION ALL
    SELECT run_id, sum(hash(site_id, started_ns, ended_ns, wait_ns, rejected_by_call_id, conversation_id)), 0
    FROM calls
    GROUP BY run_id
    UNION ALL
    SELECT
        run_id,
        sum(hash(
            name, args_digest, args_valid, args_chars, offered, origin, started_ns, ended_ns, is_upper_bound, status, error_type,
            result_digest, site_id, mutates, list_contains($broken::VARCHAR[], name)
        )),
        0
    FROM tool_calls
    GROUP BY run_id
    UNION ALL
    SELECT run_id, sum(hash(call_id, index, schema_error)), 0 FROM tool_requests WHERE schema_error IS NOT NULL GROUP BY run_id
    UNION ALL
    SELECT a.run_id, sum(hash(r.tool_id, r.attempt_id, r.seen_ns, r.result_chars)), 0
    FROM tool_results AS r
    JOIN attempts AS a USING (attempt_id)
    WHERE r.result_chars > $oversized_chars
    GROUP BY a.run_id
    UNION ALL
    SELECT run_id, sum(hash(knob, value, source, site_id, decided_ns)), 0 FROM decisions GROUP BY run_id
    UNION ALL
    -- What a process decided before anybody knew its runs.
    SELECT h.run_id, sum(hash(d.decision_id, d.knob, d.value, d.source, d.site_id, d.decided_ns)), 0
    FROM (SELECT DISTINCT run_id, home FROM call_places WHERE home <> run_id) AS h
    JOIN decisions AS d ON d.run_id = h.home AND d.call_id IS NULL
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

-- Derive the calls of a batch anew from their attempts.
-- Parameters: relation batch_calls (call_id VARCHAR). One row per call that has an attempt.
-- What the request said comes from the last attempt that was parsed, how it ended from the last attempt.
-- (Delete and insert, not INSERT OR REPLACE: planning that takes DuckDB 5 ms longer on a table this wide.)
DELETE FROM calls WHERE call_id IN (SELECT call_id FROM batch_calls);

INSERT INTO calls BY NAME
WITH ordered AS (
    SELECT
        *,
        input_tokens IS NOT NULL OR output_tokens IS NOT NULL AS has_tokens,
        row_number() OVER attempt_order AS position,
        count(*) OVER (PARTITION BY call_id) AS last_position,
        lag(ended_ns) OVER attempt_order AS previous_ended_ns
    FROM attempts
    WHERE call_id IN (SELECT call_id FROM batch_calls)
    WINDOW attempt_order AS (PARTITION BY call_id ORDER BY number, started_ns, attempt_id)
),
summed AS (
    SELECT
        call_id,
        count(*)::INTEGER AS attempts,
        min(started_ns) AS started_ns,
        max(ended_ns) AS ended_ns,
        coalesce(sum(greatest(0, started_ns - previous_ended_ns)), 0)::BIGINT AS wait_ns,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(cache_read_tokens)::BIGINT AS cache_read_tokens,
        sum(cache_write_tokens)::BIGINT AS cache_write_tokens,
        sum(output_tokens)::BIGINT AS output_tokens,
        sum(reasoning_tokens)::BIGINT AS reasoning_tokens,
        CASE
            WHEN NOT bool_or(has_tokens) THEN 'unknown'
            WHEN bool_or(has_tokens AND usage_source = 'estimated') THEN 'estimated'
            ELSE 'reported'
        END AS usage_source,
        CASE
            WHEN bool_or(has_tokens AND cost_musd IS NULL) THEN 'unknown'
            WHEN bool_or(cost_source = 'estimated') THEN 'estimated'
            WHEN bool_or(cost_source = 'reported') THEN 'reported'
            WHEN bool_or(cost_musd IS NULL) THEN 'unknown'
            ELSE 'unbilled'
        END AS cost_source,
        sum(cost_musd)::BIGINT AS known_cost_musd,
        sum(cost_reported_musd)::BIGINT AS cost_reported_musd,
        sum(cost_computed_musd)::BIGINT AS cost_computed_musd,
        arg_max(model, position) AS model,
        arg_max(prompt_digest, position) AS prompt_digest,
        arg_max(tools_digest, position) AS tools_digest,
        arg_max(tools_offered, position) AS tools_offered,
        arg_max(params, position) AS params
    FROM ordered
    GROUP BY call_id
),
rejections AS (
    SELECT
        rejects_call_id AS call_id,
        arg_min(attempts.call_id, (started_ns, attempt_id)) AS rejected_by_call_id,
        arg_min(rejection_text, (started_ns, attempt_id)) AS rejection_text
    FROM attempts
    WHERE rejects_call_id IN (SELECT call_id FROM batch_calls)
    GROUP BY rejects_call_id
)
SELECT
    call_id,
    last.run_id,
    last.process_id,
    last.site_id,
    last.api,
    last.provider,
    last.host,
    summed.model,
    last.response_model,
    last.response_id,
    summed.started_ns,
    summed.ended_ns,
    summed.attempts,
    summed.wait_ns,
    CASE
        WHEN last.error_class IS NOT NULL THEN 'error'
        WHEN last."end" = 'abandoned' THEN 'abandoned'
        ELSE 'ok'
    END AS status,
    last.http_status,
    last.error_class,
    coalesce(last.provider_error_message, last.error_message) AS error_message,
    last.finish_reason,
    last.stream,
    last.ttft_ns,
    summed.input_tokens,
    summed.cache_read_tokens,
    summed.cache_write_tokens,
    summed.output_tokens,
    summed.reasoning_tokens,
    summed.usage_source,
    CASE WHEN summed.cost_source != 'unknown' THEN summed.known_cost_musd END AS cost_musd,
    summed.cost_source,
    summed.cost_reported_musd,
    summed.cost_computed_musd,
    last.body_digest,
    last.output_digest,
    last.output_chars,
    summed.prompt_digest,
    summed.tools_digest,
    summed.tools_offered,
    summed.params,
    rejections.rejected_by_call_id,
    rejections.rejection_text,
    places.conversation_id,
    places.parent AS continues_call_id,
    places.rule AS linked_by,
    last.agent,
    last.step
FROM summed
JOIN ordered AS last USING (call_id)
LEFT JOIN rejections USING (call_id)
LEFT JOIN (
    SELECT call_id, conversation_id, parent, rule FROM call_places WHERE call_id IN (SELECT call_id FROM batch_calls)
) AS places USING (call_id)
WHERE last.position = last.last_position

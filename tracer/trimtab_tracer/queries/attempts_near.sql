-- Attempts that were seen on the wire and overlap a stretch of time: what the joining of spans needs of them.
-- Parameters: $from_ns, $to_ns BIGINT. One row per attempt. Estimated tokens are ours and compare with nothing.
SELECT
    attempt_id,
    call_id,
    process_id,
    started_ns,
    ended_ns,
    trace_id,
    span_id,
    response_id,
    request_id,
    model,
    response_model,
    CASE WHEN usage_source != 'estimated' THEN input_tokens END AS input_tokens,
    CASE WHEN usage_source != 'estimated' THEN output_tokens END AS output_tokens,
    usage_source = 'estimated' AS is_estimated
FROM attempts
WHERE api != 'otel' AND started_ns <= $to_ns AND ended_ns >= $from_ns

-- What the price of some attempts depends on.
-- Parameters: relation only_attempts (attempt_id VARCHAR).
-- One row per attempt of it; columns as in the store.
SELECT
    attempt_id,
    api,
    provider,
    host,
    path,
    started_ns,
    model,
    response_model,
    params::VARCHAR AS params,
    http_status,
    error_type,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    output_tokens,
    reasoning_tokens,
    cache_write_1h_tokens,
    input_audio_tokens,
    cache_audio_read_tokens,
    output_audio_tokens,
    output_image_tokens,
    web_searches,
    service_tier,
    speed,
    inference_geo,
    cost_musd,
    cost_reported_musd
FROM attempts
WHERE attempt_id IN (SELECT attempt_id FROM only_attempts)
ORDER BY attempt_id

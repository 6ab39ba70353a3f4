-- What some calls asked for, and of whom.
-- Parameters: $call_ids VARCHAR[].
-- One row per call, ordered by start. model is the one that its first request named; attempts counts requests;
-- is_embedding: it asked for vectors, which no other model gives alike.
SELECT
    c.call_id,
    c.site_id,
    c.host,
    c.api,
    r.service,
    r.origin,
    c.attempts::BIGINT AS attempts,
    c.status = 'error' AS is_lost,
    f.is_embedding,
    f.model,
    f.response_models
FROM calls AS c
JOIN runs AS r USING (run_id)
JOIN (
    SELECT
        call_id,
        arg_min(model, number) AS model,
        bool_or(contains(lower(path), 'embed')) AS is_embedding,
        coalesce(list(DISTINCT response_model) FILTER (response_model IS NOT NULL), []) AS response_models
    FROM attempts
    WHERE call_id IN (SELECT unnest($call_ids::VARCHAR[]))
    GROUP BY call_id
) AS f USING (call_id)
WHERE c.call_id IN (SELECT unnest($call_ids::VARCHAR[]))
ORDER BY c.started_ns, c.call_id

-- Purpose: the models that have no known price, so that a report can name them.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per model and provider, the most tokens first. Only attempts whose tokens are all known and whose cost is not.
SELECT
    coalesce(response_model, model, '') AS model,
    coalesce(provider, host) AS provider,
    count(DISTINCT call_id)::BIGINT AS calls,
    count(*)::BIGINT AS attempts,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens
FROM attempts
WHERE
    cost_musd IS NULL
    AND input_tokens IS NOT NULL
    AND (output_tokens IS NOT NULL OR api = 'openai.embeddings')
    AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
GROUP BY ALL
ORDER BY sum(coalesce(attempts.input_tokens, 0) + coalesce(attempts.output_tokens, 0)) DESC, 1, 2

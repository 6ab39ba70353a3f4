-- Purpose: where the numbers of a report come from, so that it can say so.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $scripted VARCHAR: pattern of the ids that the scripted provider makes.
-- One row. Counts of attempts by how their cost is known, micro-USD of each, and how many a scripted provider answered.
--   guessed  attempts whose tokens, or some of them, no provider reported: they are estimated from the text, and so is the
--            cost computed from them (guessed_tokens, guessed_musd)
SELECT
    count_if(cost_source = 'reported')::BIGINT AS reported,
    count_if(cost_source = 'estimated')::BIGINT AS estimated,
    count_if(cost_source = 'unknown')::BIGINT AS unpriced,
    coalesce(sum(cost_musd) FILTER (cost_source = 'reported'), 0)::BIGINT AS reported_musd,
    coalesce(sum(cost_musd) FILTER (cost_source = 'estimated'), 0)::BIGINT AS estimated_musd,
    count_if(usage_source = 'estimated')::BIGINT AS guessed,
    coalesce(sum(input_tokens) FILTER (usage_source = 'estimated'), 0)::BIGINT
        + coalesce(sum(output_tokens) FILTER (usage_source = 'estimated'), 0)::BIGINT AS guessed_tokens,
    coalesce(sum(cost_musd) FILTER (usage_source = 'estimated' AND cost_source = 'estimated'), 0)::BIGINT AS guessed_musd,
    count_if(NOT parsed)::BIGINT AS unparsed,
    count_if(
        regexp_matches(coalesce(response_id, ''), $scripted) OR regexp_matches(coalesce(request_id, ''), $scripted)
    )::BIGINT AS scripted,
    coalesce(list_sort(list(DISTINCT coalesce(response_model, model)) FILTER (coalesce(response_model, model) IS NOT NULL)), [])
        AS models,
    coalesce(list_sort(list(DISTINCT price_version) FILTER (cost_source = 'estimated' AND price_version IS NOT NULL)), [])
        AS price_versions
FROM attempts
WHERE $run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[]))

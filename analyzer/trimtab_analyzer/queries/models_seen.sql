-- The models that were asked, and how they answered.
-- Parameters: none.
-- One row per host, wire format and model as requested.
--   requests          those that were not cancelled by the agent
--   answers           those that were answered with text or tool calls: what gives a reason to have finished
--   cost_musd         mean micro-USD of an answer, over the `priced` ones whose cost is known
--   response_models   what the answers called the model: two names may be one model
SELECT
    host,
    api,
    model,
    count(*) AS requests,
    count_if(error_class IS NULL AND finish_reason IS NOT NULL)::BIGINT AS answers,
    avg(cost_musd) FILTER (error_class IS NULL AND finish_reason IS NOT NULL) AS cost_musd,
    (count(cost_musd) FILTER (error_class IS NULL AND finish_reason IS NOT NULL))::BIGINT AS priced,
    coalesce(list_sort(list(DISTINCT response_model) FILTER (response_model IS NOT NULL)), []) AS response_models
FROM attempts
WHERE model IS NOT NULL AND error_class IS DISTINCT FROM 'cancelled'
GROUP BY host, api, model
ORDER BY host, api, model

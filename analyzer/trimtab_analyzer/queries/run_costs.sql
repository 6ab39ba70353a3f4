-- What runs cost.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per run that made a request. cost_musd micro-USD over the requests whose cost is known; unpriced counts the others.
SELECT run_id, coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd, count_if(cost_musd IS NULL)::BIGINT AS unpriced
FROM attempts
WHERE $run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[]))
GROUP BY run_id
ORDER BY run_id

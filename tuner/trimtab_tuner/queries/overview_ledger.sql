-- Purpose: where the money of runs went, as the last analysis split it.
-- Parameters, NULL for "any": $service VARCHAR; $since_ns, $until_ns BIGINT: started in [since, until).
-- One row per class of the ledger. cost_musd micro-USD; unpriced: attempts of unknown cost, counted as 0.
SELECT
    m.cls,
    sum(m.cost_musd)::BIGINT AS cost_musd,
    sum(m.attempts)::BIGINT AS attempts,
    sum(m.unknown)::BIGINT AS unpriced,
    sum(m.input_tokens)::BIGINT AS input_tokens,
    sum(m.output_tokens)::BIGINT AS output_tokens
FROM run_money AS m
JOIN runs AS r USING (run_id)
WHERE ($service IS NULL OR r.service = $service)
  AND ($since_ns IS NULL OR r.started_ns >= $since_ns)
  AND ($until_ns IS NULL OR r.started_ns < $until_ns)
GROUP BY m.cls
ORDER BY m.cls

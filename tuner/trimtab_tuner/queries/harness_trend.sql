-- Purpose: calls, failures and money of each line over time.
-- Parameters: $run_ids VARCHAR[]: the runs looked at; $step_ns BIGINT: length of a step.
-- One row per line and step in which it was called, in order of time; at_ns: the step's beginning. cost_musd micro-USD as far as known.
SELECT
    site_id,
    started_ns // $step_ns * $step_ns AS at_ns,
    count(*) AS calls,
    count_if(status <> 'ok') AS failed_calls,
    coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd
FROM calls
WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
GROUP BY site_id, at_ns
ORDER BY site_id, at_ns

-- Purpose: the lines and tools that runs passed.
-- Parameters: $run_ids VARCHAR[]: the runs looked at.
-- One row per line that makes calls and per tool that was answered, the most passed first. kind: site | tool; name: id of the line, name of
--   the tool; times: calls; runs: in how many; failed: of the calls; cost_musd: micro-USD as far as known, unpriced counts the
--   rest; median_ns: how long a call took, of a tool that was not seen running an upper bound (is_upper_bound).
WITH steps AS (
    SELECT run_id, 'site' AS kind, site_id AS name, status <> 'ok' AS failed, cost_musd, cost_musd IS NULL AS unpriced, ended_ns - started_ns AS took_ns, false AS is_bound
    FROM calls
    WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
    UNION ALL
    SELECT run_id, 'tool', name, status = 'error', NULL, false, ended_ns - started_ns, is_upper_bound
    FROM tool_calls
    WHERE origin <> 'requested' AND run_id IN (SELECT unnest($run_ids::VARCHAR[]))
)
SELECT
    kind,
    name,
    count(*) AS times,
    count(DISTINCT run_id) AS runs,
    count_if(failed) AS failed,
    coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd,
    count_if(unpriced) AS unpriced,
    quantile_cont(took_ns, 0.5)::BIGINT AS median_ns,
    bool_or(is_bound) AS is_upper_bound
FROM steps
GROUP BY kind, name
ORDER BY times DESC, kind, name

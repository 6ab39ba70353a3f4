-- Purpose: what was in force in a run, without a row for each of its calls.
-- Parameters: $run_id VARCHAR.
-- One row per knob, value, source, propensity, policy version and site; times: for how many calls it held; calls: the first
-- twenty of them; is_of_run: whether it held for the run as a whole.
SELECT
    knob,
    value,
    source,
    propensity,
    policy_version,
    site_id,
    count(*) AS times,
    list(DISTINCT call_id ORDER BY call_id)[:20] AS calls,
    bool_or(call_id IS NULL) AS is_of_run
FROM decisions
WHERE run_id = $run_id
GROUP BY knob, value, source, propensity, policy_version, site_id
ORDER BY knob, times DESC, value, source, site_id

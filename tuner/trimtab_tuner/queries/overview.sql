-- Purpose: what runs came to over time, in equal stretches of time by when they began.
-- Parameters, NULL for "any": $service VARCHAR; $since_ns, $until_ns BIGINT: started in [since, until); and $bin_ns BIGINT, how
--   long one stretch is.
-- One row per stretch in which a run began, in order. Runs are those of runs.sql. failed: its outcome says no, or none says
--   anything and an exception ended it; inferred: of those, only the analysis says so. *_musd micro-USD; wasted_musd as the
--   last analysis split the cost (run_money); unanalysed: runs that it has not seen. p50_ns, p95_ns: of a call, from its first
--   request to its last answer. first_ns, last_ns: when the first of its runs began and the last one ended.
WITH chosen AS (
    SELECT
        r.run_id, r.started_ns, r.ended_ns, r.status, r.started_ns // $bin_ns * $bin_ns AS at_ns, best.success, best.rule,
        coalesce(NOT best.success, r.status = 'error', false) AS is_failed
    FROM runs AS r
    LEFT JOIN effective_outcomes AS best USING (run_id)
    WHERE ($service IS NULL OR r.service = $service)
      AND ($since_ns IS NULL OR r.started_ns >= $since_ns)
      AND ($until_ns IS NULL OR r.started_ns < $until_ns)
      AND (
        r.is_split IS NOT true
        OR r.run_id IN (SELECT run_id FROM attempts UNION ALL SELECT run_id FROM tool_calls)
        OR best.run_id IS NOT NULL
        OR (r.status = 'error' AND r.run_id NOT IN (SELECT parent_run_id FROM runs WHERE origin = 'rebuilt' AND status = 'error'))
      )
),
spent AS (
    SELECT
        c.at_ns,
        count(*) AS attempts,
        coalesce(sum(a.cost_musd), 0)::BIGINT AS cost_musd,
        count(*) FILTER (WHERE a.cost_musd IS NULL) AS unpriced,
        coalesce(sum(a.input_tokens), 0)::BIGINT AS input_tokens,
        coalesce(sum(a.output_tokens), 0)::BIGINT AS output_tokens,
        count(*) FILTER (WHERE a.usage_source = 'estimated') AS estimated
    FROM attempts AS a JOIN chosen AS c USING (run_id) GROUP BY c.at_ns
),
took AS (
    SELECT
        c.at_ns, count(*) AS calls,
        quantile_cont(k.ended_ns - k.started_ns, 0.5)::BIGINT AS p50_ns,
        quantile_cont(k.ended_ns - k.started_ns, 0.95)::BIGINT AS p95_ns
    FROM calls AS k JOIN chosen AS c USING (run_id) GROUP BY c.at_ns
),
wasted AS (
    SELECT c.at_ns, sum(m.cost_musd)::BIGINT AS wasted_musd
    FROM run_money AS m JOIN chosen AS c USING (run_id) WHERE m.cls NOT IN ('useful', 'unknown') GROUP BY c.at_ns
),
came AS (
    SELECT
        at_ns,
        count(*) AS runs,
        count(*) FILTER (WHERE status IS NULL) AS running,
        count(*) FILTER (WHERE is_failed) AS failed_runs,
        count(*) FILTER (WHERE success) AS succeeded_runs,
        count(*) FILTER (WHERE NOT is_failed AND success IS NULL AND status IS NOT NULL) AS unjudged_runs,
        count(*) FILTER (WHERE is_failed AND rule IS NOT NULL AND status IS DISTINCT FROM 'error') AS inferred_runs,
        count(*) FILTER (WHERE run_id NOT IN (SELECT run_id FROM analysed_runs)) AS unanalysed_runs,
        min(started_ns) AS first_ns,
        max(coalesce(ended_ns, started_ns)) AS last_ns
    FROM chosen GROUP BY at_ns
)
SELECT
    came.*,
    coalesce(took.calls, 0) AS calls,
    took.p50_ns,
    took.p95_ns,
    coalesce(spent.attempts, 0) AS attempts,
    coalesce(spent.cost_musd, 0) AS cost_musd,
    coalesce(spent.unpriced, 0) AS unpriced,
    coalesce(spent.input_tokens, 0) AS input_tokens,
    coalesce(spent.output_tokens, 0) AS output_tokens,
    coalesce(spent.estimated, 0) AS estimated,
    coalesce(wasted.wasted_musd, 0) AS wasted_musd
FROM came
LEFT JOIN spent USING (at_ns)
LEFT JOIN took USING (at_ns)
LEFT JOIN wasted USING (at_ns)
ORDER BY at_ns

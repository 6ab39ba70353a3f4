-- Purpose: runs with what they cost and what came of them, newest first.
-- Parameters, NULL for "any": $run_ids VARCHAR[]; $service VARCHAR; $status VARCHAR ok | error | running; $outcome VARCHAR
--   success | failure | unknown; $since_ns, $until_ns BIGINT: started in [since, until); $site, $model VARCHAR: made a
--   request from this site or asked for or got this model; $harness VARCHAR: of this version;
--   $finding VARCHAR: named by this finding, which names up to a thousand; $min_cost_musd, $max_cost_musd
--   BIGINT: known cost in [min, max]; $after_ns BIGINT and $after_id VARCHAR: continue behind this run; $limit BIGINT.
-- One row per run, without those of processes whose calls are in runs of their own (is_split), unless they are asked for by
--   id or something is left in the process's run itself: a call or tool of no other run, an outcome, or an exception that
--   none of those runs ended in. *_ns nanoseconds, *_musd micro-USD; cost_musd sums what is known, attempts_unpriced counts
--   the rest; total is the number of runs that match, NULL on later pages.
WITH priced AS (
    SELECT r.run_id
    FROM runs AS r
    LEFT JOIN attempts AS a USING (run_id)
    WHERE $min_cost_musd IS NOT NULL OR $max_cost_musd IS NOT NULL
    GROUP BY r.run_id
    HAVING coalesce(sum(a.cost_musd), 0) BETWEEN coalesce($min_cost_musd, 0) AND coalesce($max_cost_musd, 9223372036854775807)
),
matching AS (
    SELECT r.*, best.success, best.score, best.source AS outcome_source, best.rule AS outcome_rule,
        best.confidence AS outcome_confidence
    FROM runs AS r
    LEFT JOIN effective_outcomes AS best USING (run_id)
    WHERE ($run_ids::VARCHAR[] IS NULL OR r.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
      AND (
        $run_ids::VARCHAR[] IS NOT NULL
        OR r.is_split IS NOT true
        OR r.run_id IN (SELECT run_id FROM attempts UNION ALL SELECT run_id FROM tool_calls)
        OR best.run_id IS NOT NULL
        OR (r.status = 'error' AND r.run_id NOT IN (SELECT parent_run_id FROM runs WHERE origin = 'rebuilt' AND status = 'error'))
      )
      AND ($service IS NULL OR r.service = $service)
      AND ($harness IS NULL OR r.harness = $harness)
      AND ($status IS NULL OR coalesce(r.status, 'running') = $status)
      AND ($outcome IS NULL OR CASE WHEN best.success IS NULL THEN 'unknown'
                                    WHEN best.success THEN 'success' ELSE 'failure' END = $outcome)
      AND ($since_ns IS NULL OR r.started_ns >= $since_ns)
      AND ($until_ns IS NULL OR r.started_ns < $until_ns)
      AND ($finding IS NULL OR r.run_id IN (
        SELECT unnest(from_json(evidence -> part, '["VARCHAR"]'))
        FROM findings, (VALUES ('$.runs'), ('$.ended_runs')) AS parts(part)
        WHERE finding_id = $finding
      ))
      AND (($min_cost_musd IS NULL AND $max_cost_musd IS NULL) OR r.run_id IN (SELECT run_id FROM priced))
      AND ($site IS NULL OR r.run_id IN (SELECT run_id FROM attempts WHERE site_id = $site))
      AND ($model IS NULL OR r.run_id IN (SELECT run_id FROM attempts WHERE model = $model OR response_model = $model))
),
page AS (
    SELECT *
    FROM matching
    WHERE $after_ns IS NULL OR started_ns < $after_ns OR (started_ns = $after_ns AND run_id < $after_id)
    ORDER BY started_ns DESC, run_id DESC
    LIMIT $limit
),
spent AS (
    SELECT
        run_id,
        count(*) AS attempts,
        count(DISTINCT call_id) AS calls,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(output_tokens)::BIGINT AS output_tokens,
        coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd,
        count(*) FILTER (WHERE cost_musd IS NULL) AS attempts_unpriced
    FROM attempts
    WHERE run_id IN (SELECT run_id FROM page)
    GROUP BY run_id
),
tools AS (
    SELECT run_id, count(*) AS tool_calls
    FROM tool_calls
    WHERE run_id IN (SELECT run_id FROM page)
    GROUP BY run_id
)
SELECT
    page.* REPLACE (coalesce(page.status, 'running') AS status),
    coalesce(spent.calls, 0) AS calls,
    coalesce(spent.attempts, 0) AS attempts,
    coalesce(tools.tool_calls, 0) AS tool_calls,
    spent.input_tokens,
    spent.output_tokens,
    coalesce(spent.cost_musd, 0) AS cost_musd,
    coalesce(spent.attempts_unpriced, 0) AS attempts_unpriced,
    CASE WHEN $after_ns IS NULL THEN (SELECT count(*) FROM matching WHERE $after_ns IS NULL) END AS total
FROM page
LEFT JOIN spent USING (run_id)
LEFT JOIN tools USING (run_id)
ORDER BY page.started_ns DESC, page.run_id DESC

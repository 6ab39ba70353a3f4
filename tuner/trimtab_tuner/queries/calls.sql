-- Purpose: logical calls, newest first.
-- Parameters, NULL for "any": $call_id, $run_id, $service VARCHAR (of the call's run); $status VARCHAR ok | error |
--   abandoned; $since_ns, $until_ns BIGINT: started in [since, until); $site, $model VARCHAR; $after_ns BIGINT and
--   $after_id VARCHAR: continue behind this call; $limit BIGINT.
-- One row per call. *_ns nanoseconds, *_musd micro-USD; total is the number of calls that match, NULL on later pages.
WITH matching AS (
    SELECT c.rowid AS place, c.call_id, c.started_ns
    FROM calls AS c
    WHERE ($call_id IS NULL OR c.call_id = $call_id)
      AND ($run_id IS NULL OR c.run_id = $run_id)
      AND ($service IS NULL OR c.run_id IN (SELECT run_id FROM runs WHERE service = $service))
      AND ($status IS NULL OR c.status = $status)
      AND ($since_ns IS NULL OR c.started_ns >= $since_ns)
      AND ($until_ns IS NULL OR c.started_ns < $until_ns)
      AND ($site IS NULL OR c.site_id = $site)
      AND ($model IS NULL OR c.model = $model OR c.response_model = $model)
),
page AS (
    SELECT place
    FROM matching
    WHERE $after_ns IS NULL OR started_ns < $after_ns OR (started_ns = $after_ns AND call_id < $after_id)
    ORDER BY started_ns DESC, call_id DESC
    LIMIT $limit
)
SELECT
    c.*,
    r.service,
    CASE WHEN $after_ns IS NULL THEN (SELECT count(*) FROM matching WHERE $after_ns IS NULL) END AS total
FROM page
JOIN calls AS c ON c.rowid = page.place
LEFT JOIN runs AS r USING (run_id)
ORDER BY c.started_ns DESC, c.call_id DESC

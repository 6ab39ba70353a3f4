-- Purpose: the places in the user's code that make calls, the most expensive first.
-- Parameters, NULL for "any": $site, $service VARCHAR; $limit, $offset BIGINT.
-- One row per site. cost_musd: micro-USD of its attempts, as far as known; total is the number of sites that match.
WITH spent AS (
    SELECT
        a.site_id,
        count(DISTINCT a.run_id) AS runs,
        count(DISTINCT a.call_id) AS calls,
        count(*) AS attempts,
        count(*) FILTER (WHERE a.error_class IS NOT NULL) AS failed_attempts,
        coalesce(sum(a.cost_musd), 0)::BIGINT AS cost_musd,
        count(*) FILTER (WHERE a.cost_musd IS NULL) AS attempts_unpriced
    FROM attempts AS a
    LEFT JOIN runs AS r USING (run_id)
    WHERE $service IS NULL OR r.service = $service
    GROUP BY a.site_id
),
matching AS (
    SELECT
        s.*,
        coalesce(spent.runs, 0) AS runs,
        coalesce(spent.calls, 0) AS calls,
        coalesce(spent.attempts, 0) AS attempts,
        coalesce(spent.failed_attempts, 0) AS failed_attempts,
        coalesce(spent.cost_musd, 0) AS cost_musd,
        coalesce(spent.attempts_unpriced, 0) AS attempts_unpriced
    FROM sites AS s
    LEFT JOIN spent USING (site_id)
    WHERE ($site IS NULL OR s.site_id = $site)
      AND ($service IS NULL OR spent.site_id IS NOT NULL)
)
SELECT *, (SELECT count(*) FROM matching) AS total
FROM matching
ORDER BY cost_musd DESC, calls DESC, site_id
LIMIT $limit OFFSET $offset

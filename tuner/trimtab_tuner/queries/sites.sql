-- Purpose: the places in the user's code that make calls, the most expensive first.
-- Parameters, NULL for "any": $site, $service VARCHAR; $limit, $offset BIGINT.
-- One row per site. cost_musd: micro-USD of its attempts, as far as known; total is the number of sites that match.
WITH spent_by_run AS (
    -- by run first: counting distinct runs and calls of a million attempts takes six times as long
    SELECT
        site_id,
        run_id,
        count(*) AS attempts,
        count(*) FILTER (WHERE error_class IS NOT NULL) AS failed_attempts,
        coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd,
        count(*) FILTER (WHERE cost_musd IS NULL) AS attempts_unpriced
    FROM attempts
    WHERE $service IS NULL OR run_id IN (SELECT run_id FROM runs WHERE service = $service)
    GROUP BY site_id, run_id
),
spent AS (
    SELECT
        site_id,
        count(*) AS runs,
        sum(attempts)::BIGINT AS attempts,
        sum(failed_attempts)::BIGINT AS failed_attempts,
        sum(cost_musd)::BIGINT AS cost_musd,
        sum(attempts_unpriced)::BIGINT AS attempts_unpriced
    FROM spent_by_run
    GROUP BY site_id
),
called AS (
    SELECT site_id, count(*) AS calls
    FROM calls
    WHERE $service IS NULL OR run_id IN (SELECT run_id FROM runs WHERE service = $service)
    GROUP BY site_id
),
matching AS (
    SELECT
        s.*,
        coalesce(spent.runs, 0) AS runs,
        coalesce(called.calls, 0) AS calls,
        coalesce(spent.attempts, 0) AS attempts,
        coalesce(spent.failed_attempts, 0) AS failed_attempts,
        coalesce(spent.cost_musd, 0) AS cost_musd,
        coalesce(spent.attempts_unpriced, 0) AS attempts_unpriced
    FROM sites AS s
    LEFT JOIN spent USING (site_id)
    LEFT JOIN called USING (site_id)
    WHERE ($site IS NULL OR s.site_id = $site)
      AND ($service IS NULL OR spent.site_id IS NOT NULL)
)
SELECT *, (SELECT count(*) FROM matching) AS total
FROM matching
ORDER BY cost_musd DESC, calls DESC, site_id
LIMIT $limit OFFSET $offset

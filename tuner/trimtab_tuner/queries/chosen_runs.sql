-- Purpose: the newest runs that fit, as many as hold about so many calls: what a page about all of them looks at.
-- Parameters, NULL for "any": $service VARCHAR; $since_ns, $until_ns BIGINT: started in [since, until). $most BIGINT: calls, where
--   a run counts as one at least; the run that goes beyond it is the last one taken.
-- One row. run_ids: those taken, oldest first, NULL where none fits; runs: how many fit; first_ns, last_ns: start of the first and
--   of the last one taken. Processes whose calls are in runs of their own (is_split) are left out.
WITH fitting AS (
    SELECT r.run_id, r.started_ns, greatest(coalesce(c.calls, 0), 1) AS calls
    FROM runs AS r
    LEFT JOIN (SELECT run_id, count(*) AS calls FROM calls GROUP BY run_id) AS c USING (run_id)
    WHERE (r.is_split IS NOT true OR c.calls > 0)
      AND ($service IS NULL OR r.service = $service)
      AND ($since_ns IS NULL OR r.started_ns >= $since_ns)
      AND ($until_ns IS NULL OR r.started_ns < $until_ns)
),
placed AS (
    SELECT *, sum(calls) OVER (ORDER BY started_ns DESC, run_id DESC) - calls AS newer_calls FROM fitting
)
SELECT
    list(run_id ORDER BY started_ns, run_id) FILTER (newer_calls < $most) AS run_ids,
    count(*) AS runs,
    min(started_ns) FILTER (newer_calls < $most) AS first_ns,
    max(started_ns) AS last_ns
FROM placed

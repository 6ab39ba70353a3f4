-- Purpose: from when to when runs began, and whether the scripted provider answered some of their requests.
-- Parameters, NULL for "any": $service VARCHAR; $since_ns, $until_ns BIGINT: started in [since, until); and $scripted VARCHAR,
--   the pattern of the scripted provider's ids.
-- One row; nulls where there is no run.
SELECT
    min(started_ns) AS first_ns,
    max(started_ns) AS last_ns,
    (
        SELECT count(*)
        FROM attempts
        WHERE contains(coalesce(response_id, '') || coalesce(request_id, ''), 'scripted_')
          AND (regexp_matches(coalesce(response_id, ''), $scripted) OR regexp_matches(coalesce(request_id, ''), $scripted))
    ) AS scripted
FROM runs
WHERE ($service IS NULL OR service = $service)
  AND ($since_ns IS NULL OR started_ns >= $since_ns)
  AND ($until_ns IS NULL OR started_ns < $until_ns)

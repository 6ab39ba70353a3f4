-- How requests that were sent again fared, by what had gone wrong.
-- Parameters: none.
-- One row per host and error class: calls whose first failed attempt had this class and that asked the same model again.
--   retried   such calls
--   answered  those that this model answered in the end
--   extra_s   mean seconds from the end of that first failure to the end of the call, in calls that were answered so
WITH firsts AS (
    SELECT
        call_id,
        arg_min(host, number) AS host,
        arg_min(model, number) AS model,
        arg_min(error_class, number) AS error_class,
        min(number) AS number,
        arg_min(ended_ns, number) AS ended_ns
    FROM attempts
    WHERE error_class IS NOT NULL
    GROUP BY call_id
),
again AS (
    SELECT
        f.call_id,
        f.host,
        f.error_class,
        bool_or(a.error_class IS NULL AND a."end" <> 'error') AS is_answered,
        max(a.ended_ns) - any_value(f.ended_ns) AS extra_ns
    FROM firsts AS f
    JOIN attempts AS a ON a.call_id = f.call_id AND a.number > f.number AND a.model IS NOT DISTINCT FROM f.model
    GROUP BY f.call_id, f.host, f.error_class
)
SELECT
    host,
    error_class,
    count(*) AS retried,
    count_if(is_answered)::BIGINT AS answered,
    avg(extra_ns / 1e9) FILTER (is_answered) AS extra_s
FROM again
GROUP BY host, error_class
ORDER BY host, error_class

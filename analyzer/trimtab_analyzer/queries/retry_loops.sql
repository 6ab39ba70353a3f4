-- Calls that a loop around the SDK sent again: the same body at the same address from the same line, in the same run, begun
-- after the call before it had failed and within $within_s seconds of its end.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $within_s DOUBLE.
-- One row per call of such a chain.
--   question_id  the first call of its chain: what the agent wanted to know, however often it asked
--   is_meant     something says that the agent asks the same thing on purpose, see is_storm
--   is_storm     two of the chain's calls or more were themselves sent again by the SDK, so that the loops multiply; and nothing
--                says that the agent asks the same thing on purpose: a body sent again soon after it was answered (polling), or
--                while it was still under way (several samples of one prompt), says so in the run
WITH repeated AS (
    -- Few bodies go out twice; only those are looked at.
    SELECT run_id, site_id, host, path, body_digest
    FROM attempts
    WHERE body_digest IS NOT NULL
      AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
    GROUP BY ALL
    HAVING count(DISTINCT call_id) > 1
),
called AS (
    SELECT
        call_id,
        min(run_id) AS run_id,
        min(site_id) AS site_id,
        min(host) AS host,
        min(path) AS path,
        arg_min(body_digest, (number, started_ns)) AS body_digest,
        min(started_ns) AS started_ns,
        max(ended_ns) AS ended_ns,
        count(*) AS requests,
        arg_max(error_class IS NOT NULL OR "end" = 'error', (number, started_ns)) AS is_failed
    FROM attempts
    WHERE call_id IN (SELECT a.call_id FROM attempts AS a SEMI JOIN repeated USING (run_id, site_id, host, path, body_digest))
    GROUP BY call_id
),
paired AS (
    SELECT
        *,
        lag(is_failed) OVER same AS before_failed,
        started_ns < max(ended_ns) OVER before AS is_overlapping,
        started_ns - lag(ended_ns) OVER same <= $within_s * 1e9 AS is_soon
    FROM called
    WHERE body_digest IS NOT NULL
    WINDOW
        same AS (PARTITION BY run_id, site_id, host, path, body_digest ORDER BY started_ns, call_id),
        before AS (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
chained AS (
    SELECT
        *,
        coalesce(bool_or(is_overlapping OR (is_soon AND NOT before_failed)) OVER body, false) AS is_meant,
        count_if(NOT coalesce(is_soon AND before_failed, false)) OVER (body ORDER BY started_ns, call_id) AS chain
    FROM paired
    WINDOW body AS (PARTITION BY run_id, site_id, host, path, body_digest)
)
SELECT
    call_id,
    first_value(call_id) OVER (one ORDER BY started_ns, call_id) AS question_id,
    is_meant,
    count_if(requests >= 2) OVER one >= 2 AND NOT is_meant AS is_storm
FROM chained
WINDOW one AS (PARTITION BY run_id, site_id, host, path, body_digest, chain)
QUALIFY count(*) OVER one >= 2
ORDER BY question_id, started_ns, call_id

-- Purpose: what was done at each line that makes calls, and what came of the runs that passed there.
-- Parameters: $run_ids VARCHAR[]: the runs looked at.
-- One row per line, the most expensive first. file … owner: NULL where the line's record has not come in. calls: logical calls, of
--   which failed_calls did not end well; attempts: their requests. runs: with a call there; of them judged_runs have ended or have an
--   outcome, and failed_runs failed (an outcome says so, or where none says yes or no, an exception ended it). cost_musd: micro-USD,
--   as far as known, attempts_unpriced counts the rest. median_ns, p95_ns: how long calls took, waits included. services, models:
--   names by alphabet; first_ns, last_ns: start of its first and last call.
WITH called AS (
    SELECT c.*, r.service, r.status AS run_status, e.success
    FROM calls AS c
    LEFT JOIN runs AS r USING (run_id)
    LEFT JOIN effective_outcomes AS e USING (run_id)
    WHERE c.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
),
by_run AS (
    SELECT
        site_id,
        run_id,
        any_value(coalesce(NOT success, run_status = 'error', false)) AS failed,
        any_value(success IS NOT NULL OR run_status IS NOT NULL) AS judged
    FROM called
    GROUP BY site_id, run_id
),
runs_there AS (
    SELECT site_id, count(*) AS runs, count_if(judged) AS judged_runs, count_if(failed) AS failed_runs
    FROM by_run
    GROUP BY site_id
),
calls_there AS (
    SELECT
        site_id,
        count(*) AS calls,
        count_if(status <> 'ok') AS failed_calls,
        quantile_cont(ended_ns - started_ns, 0.5)::BIGINT AS median_ns,
        quantile_cont(ended_ns - started_ns, 0.95)::BIGINT AS p95_ns,
        list(DISTINCT service ORDER BY service) FILTER (service IS NOT NULL) AS services,
        list(DISTINCT model ORDER BY model) FILTER (model IS NOT NULL) AS models,
        min(started_ns) AS first_ns,
        max(started_ns) AS last_ns
    FROM called
    GROUP BY site_id
),
spent AS (
    SELECT
        site_id,
        count(*) AS attempts,
        count_if(error_class IS NOT NULL) AS failed_attempts,
        coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd,
        count_if(cost_musd IS NULL) AS attempts_unpriced,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(output_tokens)::BIGINT AS output_tokens
    FROM attempts
    WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
    GROUP BY site_id
)
SELECT
    c.*,
    r.runs,
    r.judged_runs,
    r.failed_runs,
    coalesce(m.attempts, 0) AS attempts,
    coalesce(m.failed_attempts, 0) AS failed_attempts,
    coalesce(m.cost_musd, 0) AS cost_musd,
    coalesce(m.attempts_unpriced, 0) AS attempts_unpriced,
    m.input_tokens,
    m.output_tokens,
    s.file,
    s."function",
    s.line,
    s.end_line,
    s.source,
    s.owner
FROM calls_there AS c
JOIN runs_there AS r USING (site_id)
LEFT JOIN spent AS m USING (site_id)
LEFT JOIN sites AS s USING (site_id)
ORDER BY cost_musd DESC, c.calls DESC, c.site_id

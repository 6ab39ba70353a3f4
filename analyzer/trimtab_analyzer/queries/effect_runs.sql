-- What each run came to, and what was known of it when it began.
-- Parameters: $sources VARCHAR[]: sources of outcomes that count.
-- One row per run that has ended, in the order of their starts.
--   root         the outermost run around it, but for a process whose calls are in runs of their own: those don't depend on each other
--   success      of the latest outcome of the best source (explicit, evaluator, inferred) that counts; NULL where there is none
--   source       of that outcome
--   other_source the best source of an outcome that does not count; NULL where there is none
--   cost_usd     of all its requests; NULL where one has no known cost, or where it made none
--   duration_s   from start to end; latency_s mean seconds of its calls, waiting included (NULL without a call)
--   model        asked for by its first call, site_id that call's line; NULL without a call
--   day          UTC, as a date's text
--   calls        LLM calls; tokens of all of them (NULL where none is known)
WITH RECURSIVE outer_of AS (
    SELECT r.run_id, r.run_id AS root, r.parent_run_id AS up, 0 AS depth FROM runs AS r
    UNION ALL
    SELECT o.run_id, p.run_id, p.parent_run_id, o.depth + 1
    FROM outer_of AS o
    JOIN runs AS p ON p.run_id = o.up AND p.is_split IS NOT true
    WHERE o.depth < 32
),
roots AS (
    SELECT run_id, arg_max(root, depth) AS root FROM outer_of GROUP BY run_id
),
said AS (
    SELECT run_id, success, source, recorded_ns, outcome_id FROM outcomes WHERE success IS NOT NULL
    UNION ALL
    SELECT run_id, success, 'inferred', inferred_ns, '' FROM inferred_outcomes
),
judged AS (
    SELECT
        run_id,
        success,
        source,
        list_contains($sources::VARCHAR[], source) AS counts,
        row_number() OVER (
            PARTITION BY run_id, list_contains($sources::VARCHAR[], source)
            ORDER BY list_position(['explicit', 'evaluator', 'inferred'], source) NULLS LAST, recorded_ns DESC, outcome_id DESC
        ) AS place
    FROM said
),
spent AS (
    SELECT
        run_id,
        CASE WHEN count_if(cost_musd IS NULL) = 0 THEN sum(cost_musd) / 1e6 END AS cost_usd
    FROM attempts
    GROUP BY run_id
),
called AS (
    SELECT
        run_id,
        count(*)::BIGINT AS calls,
        avg((ended_ns - started_ns) / 1e9) AS latency_s,
        arg_min(model, started_ns) AS model,
        arg_min(site_id, started_ns) AS site_id,
        sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))::BIGINT AS tokens
    FROM calls
    GROUP BY run_id
)
SELECT
    r.run_id,
    coalesce(o.root, r.run_id) AS root,
    yes.success,
    yes.source,
    rest.source AS other_source,
    s.cost_usd,
    (r.ended_ns - r.started_ns) / 1e9 AS duration_s,
    c.latency_s,
    c.model,
    c.site_id,
    r.task,
    r.harness,
    r.service,
    strftime(make_timestamp_ns(r.started_ns), '%Y-%m-%d') AS day,
    coalesce(c.calls, 0)::BIGINT AS calls,
    c.tokens
FROM runs AS r
LEFT JOIN roots AS o USING (run_id)
LEFT JOIN judged AS yes ON yes.run_id = r.run_id AND yes.counts AND yes.place = 1
LEFT JOIN judged AS rest ON rest.run_id = r.run_id AND NOT rest.counts AND rest.place = 1
LEFT JOIN spent AS s ON s.run_id = r.run_id
LEFT JOIN called AS c ON c.run_id = r.run_id
WHERE r.status IS NOT NULL
  AND (r.is_split IS NOT true OR yes.success IS NOT NULL OR coalesce(c.calls, 0) > 0)
ORDER BY r.started_ns, r.run_id

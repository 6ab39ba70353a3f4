-- What each run came to, and what was known of it when it began.
-- Parameters: $sources VARCHAR[]: sources of outcomes that count.
-- One row per run that has ended, in the order of their starts. Of a run around other runs what they did is its own doing too:
-- cost, calls, tokens, latency, model and line are those of all calls in it, at whatever depth. A process whose calls are in runs
-- of their own is around them only where it has an outcome.
--   root         the outermost run around it: runs of one nest depend on each other
--   whole        the run that it counts as part of where runs are counted: the outermost one around it that is no bracket. A
--                bracket is a run without an outcome around one that has an outcome (a loop over tasks); NULL of one that is
--                in no other run
--   success      of the latest outcome of the best source (explicit, evaluator, inferred) that counts; NULL where there is none
--   source       of that outcome
--   other_source the best source of an outcome that does not count; NULL where there is none
--   cost_usd     of all its requests, 0 where it made none; NULL where one has no known cost
--   duration_s   from start to end; latency_s mean seconds of its calls, waiting included (NULL without a call)
--   model        asked for by its first call, site_id that call's line; NULL without a call
--   day          UTC, as a date's text
--   calls        LLM calls; tokens of all of them (NULL where none is known)
WITH RECURSIVE said AS (
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
judgement AS (
    SELECT * FROM judged WHERE counts AND place = 1
),
outwards AS (
    SELECT run_id, run_id AS outer_id, parent_run_id AS up, 0 AS depth FROM runs
    UNION ALL
    SELECT o.run_id, p.run_id, p.parent_run_id, o.depth + 1
    FROM outwards AS o
    JOIN runs AS p ON p.run_id = o.up
    WHERE o.depth < 32 AND (p.is_split IS NOT true OR p.run_id IN (SELECT run_id FROM judgement))
),
around AS (
    -- Once each, also where somebody imported runs that are inside each other.
    SELECT run_id, outer_id, min(depth) AS depth FROM outwards GROUP BY run_id, outer_id
),
bracket AS (
    SELECT DISTINCT a.outer_id AS run_id
    FROM around AS a
    JOIN judgement AS inside ON inside.run_id = a.run_id
    WHERE a.depth > 0 AND a.outer_id NOT IN (SELECT run_id FROM judgement)
),
nest AS (
    SELECT
        a.run_id,
        arg_max(a.outer_id, a.depth) AS root,
        arg_max(a.outer_id, a.depth) FILTER (WHERE b.run_id IS NULL) AS whole
    FROM around AS a
    LEFT JOIN bracket AS b ON b.run_id = a.outer_id
    GROUP BY a.run_id
),
own_spent AS (
    SELECT run_id, sum(cost_musd) AS cost_musd, count_if(cost_musd IS NULL) AS unknown FROM attempts GROUP BY run_id
),
spent AS (
    SELECT a.outer_id AS run_id, CASE WHEN sum(s.unknown) = 0 THEN sum(s.cost_musd) / 1e6 END AS cost_usd
    FROM own_spent AS s
    JOIN around AS a USING (run_id)
    GROUP BY a.outer_id
),
own_calls AS (
    SELECT
        run_id,
        count(*) AS calls,
        sum((ended_ns - started_ns) / 1e9) AS took_s,
        min(started_ns) AS started_ns,
        arg_min(model, started_ns) AS model,
        arg_min(site_id, started_ns) AS site_id,
        sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) AS tokens
    FROM calls
    GROUP BY run_id
),
called AS (
    SELECT
        a.outer_id AS run_id,
        sum(c.calls)::BIGINT AS calls,
        sum(c.took_s) / sum(c.calls) AS latency_s,
        arg_min(c.model, c.started_ns) AS model,
        arg_min(c.site_id, c.started_ns) AS site_id,
        sum(c.tokens)::BIGINT AS tokens
    FROM own_calls AS c
    JOIN around AS a USING (run_id)
    GROUP BY a.outer_id
)
SELECT
    r.run_id,
    n.root,
    n.whole,
    yes.success,
    yes.source,
    rest.source AS other_source,
    CASE WHEN s.run_id IS NULL THEN 0.0 ELSE s.cost_usd END AS cost_usd,
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
JOIN nest AS n USING (run_id)
LEFT JOIN judgement AS yes ON yes.run_id = r.run_id
LEFT JOIN judged AS rest ON rest.run_id = r.run_id AND NOT rest.counts AND rest.place = 1
LEFT JOIN spent AS s ON s.run_id = r.run_id
LEFT JOIN called AS c ON c.run_id = r.run_id
WHERE r.status IS NOT NULL
  AND (r.is_split IS NOT true OR yes.success IS NOT NULL OR coalesce(c.calls, 0) > 0)
ORDER BY r.started_ns, r.run_id

-- The calls of runs as the steps of a story, in the order in which they were made.
-- Parameters: $run_ids VARCHAR[].
-- One row per call, ordered by run and time.
--   step        index in the imported log; elsewhere the call's position in its run, from 0
--   agent       who made it (view call_agents); NULL where nothing says
--   api         wire format of its last attempt
--   body_of     id of the last attempt that has texts; NULL where none has
--   failed      the call brought no answer
--   rejected    its answer was turned down by the harness
--   spans       keys of the spans that tell of it
WITH texts AS (
    SELECT c.call_id, arg_max(c.attempt_id, (coalesce(a.number, 0), c.attempt_id)) AS body_of
    FROM content AS c
    LEFT JOIN attempts AS a USING (attempt_id)
    WHERE c.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
    GROUP BY c.call_id
),
told AS (
    SELECT call_id, list(span_key ORDER BY span_key) AS spans
    FROM gen_ai_spans
    WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[])) AND call_id IS NOT NULL
    GROUP BY call_id
)
SELECT
    c.run_id,
    c.call_id,
    coalesce(c.step, row_number() OVER (PARTITION BY c.run_id ORDER BY c.started_ns, c.call_id) - 1)::BIGINT AS step,
    g.agent,
    c.site_id,
    c.api,
    texts.body_of,
    c.status <> 'ok' AS failed,
    c.rejected_by_call_id IS NOT NULL AS rejected,
    coalesce(told.spans, []) AS spans
FROM calls AS c
LEFT JOIN call_agents AS g USING (call_id)
LEFT JOIN texts USING (call_id)
LEFT JOIN told USING (call_id)
WHERE c.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
ORDER BY c.run_id, c.started_ns, c.call_id

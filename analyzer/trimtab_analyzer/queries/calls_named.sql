-- Where calls stand: their run, their place in it, and who made them.
-- Parameters: relation named_calls (call_id VARCHAR).
-- One row per call of that relation that is in the store.
--   step     index in the imported log; elsewhere the call's position in its run, from 0 (as in steps.sql)
--   agent    who made it (view call_agents), else the service
--   spans    keys of the spans that tell of it
WITH here AS (SELECT call_id, run_id FROM calls SEMI JOIN named_calls USING (call_id)),
placed AS (
    SELECT
        call_id,
        coalesce(step, row_number() OVER (PARTITION BY run_id ORDER BY started_ns, call_id) - 1)::BIGINT AS step
    FROM calls
    WHERE run_id IN (SELECT run_id FROM here)
),
told AS (
    SELECT call_id, list(span_key ORDER BY span_key) AS spans
    FROM gen_ai_spans
    WHERE call_id IN (SELECT call_id FROM here)
    GROUP BY call_id
),
agents AS (SELECT call_id, agent FROM call_agents WHERE call_id IN (SELECT call_id FROM here))
SELECT
    here.call_id,
    here.run_id,
    placed.step,
    coalesce(agents.agent, r.service) AS agent,
    coalesce(told.spans, []) AS spans
FROM here
JOIN placed USING (call_id)
LEFT JOIN agents USING (call_id)
LEFT JOIN told USING (call_id)
LEFT JOIN runs AS r ON r.run_id = here.run_id
ORDER BY here.run_id, placed.step

-- Who made a call in a run of several agents, and where in the log it stands; what people said of a run.
-- NULL for what was recorded before, and where nothing says it.

ALTER TABLE attempts ADD COLUMN agent VARCHAR;      -- as the log that the call was imported from names it
ALTER TABLE attempts ADD COLUMN step INTEGER;       -- index of the call in that log, as its format counts
ALTER TABLE calls ADD COLUMN agent VARCHAR;         -- both from the call's last attempt
ALTER TABLE calls ADD COLUMN step INTEGER;
ALTER TABLE runs ADD COLUMN annotations JSON;       -- labels that came with an imported run; no rule reads them

-- Every call with the name of its agent, wherever that is known from:
--   log   the imported log
--   span  the innermost agent span that was open in the call's trace
--   run   the name of the run that it was recorded in, where that run is nested in another one
-- A view, because an agent's span ends, and arrives, after the calls inside it. NULL where nothing names an agent.
CREATE VIEW call_agents AS
WITH enclosing AS (
    SELECT
        a.call_id,
        arg_max(s.agent_name, (s.started_ns, -s.ended_ns, s.span_key)) AS agent
    FROM attempts AS a
    JOIN gen_ai_spans AS s ON s.trace_id = a.trace_id AND s.started_ns <= a.started_ns AND s.ended_ns >= a.ended_ns
    WHERE s.subject = 'agent' AND s.agent_name IS NOT NULL
    GROUP BY a.call_id
)
SELECT
    c.call_id,
    coalesce(c.agent, e.agent, r.name) AS agent,
    CASE
        WHEN c.agent IS NOT NULL THEN 'log'
        WHEN e.agent IS NOT NULL THEN 'span'
        WHEN r.name IS NOT NULL THEN 'run'
    END AS agent_source
FROM calls AS c
LEFT JOIN enclosing AS e USING (call_id)
LEFT JOIN call_places AS p USING (call_id)
LEFT JOIN runs AS r
    ON r.run_id = coalesce(p.home, c.run_id) AND r.parent_run_id IS NOT NULL AND r.origin = 'explicit' AND r.name <> '';

-- Purpose: the agents that ever wrote here, those that were heard of last first.
-- Parameters: none.
-- One row per agent (service): processes, runs; last_ns nanoseconds of its last attempt or run, NULL where there is none; python, trimtab
--   and content_mode of its newest process; contents: the modes that its processes had; script of the newest one.
WITH newest AS (
    SELECT
        service,
        count(*) AS processes,
        arg_max(python, started_ns) AS python,
        arg_max(trimtab, started_ns) AS trimtab,
        arg_max(content_mode, started_ns) AS content_mode,
        arg_max(script, started_ns) AS script,
        max(started_ns) AS started_ns
    FROM processes
    GROUP BY service
),
seen AS (
    SELECT p.service, max(a.started_ns) AS last_ns
    FROM attempts AS a
    JOIN processes AS p USING (process_id)
    GROUP BY p.service
),
ran AS (
    SELECT service, count(*) AS runs, max(started_ns) AS last_ns FROM runs GROUP BY service
)
SELECT
    n.service, n.processes, coalesce(r.runs, 0) AS runs,
    greatest(coalesce(s.last_ns, 0), coalesce(r.last_ns, 0), n.started_ns) AS last_ns,
    n.python, n.trimtab, n.content_mode, n.script
FROM newest AS n
LEFT JOIN seen AS s USING (service)
LEFT JOIN ran AS r USING (service)
ORDER BY last_ns DESC, n.service
LIMIT 200

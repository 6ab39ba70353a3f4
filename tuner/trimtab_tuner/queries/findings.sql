-- Purpose: what the analysis found, with the line of code it is pinned to: open ones first, then in the order of the analysis
-- (findings.rank there): what ended runs, was in failed runs (by how surely it loses one), lost money; below them candidates,
-- and what lost no call.
-- Parameters, NULL for "any": $status VARCHAR open | resolved | reopened (open ones that had been resolved); $ranked_by VARCHAR
-- money for wasted money first, else as above; $rule, $site, $finding VARCHAR; $limit, $offset BIGINT.
-- One row per finding. *_ns nanoseconds, *_musd micro-USD; total is the number of findings that match.
-- history: when it was opened, resolved and came back, the oldest first, as far as it is known.
WITH told AS (
    SELECT finding_id, list({at_ns: at_ns, event: event} ORDER BY at_ns)::JSON AS history, arg_max(event, at_ns) AS latest
    FROM finding_events
    GROUP BY finding_id
),
matching AS (
    SELECT
        f.*, s.file, s.function, s.line, s.source, coalesce(told.history, '[]'::JSON) AS history,
        f.status = 'open' AND told.latest IS NOT DISTINCT FROM 'reopened' AS is_reopened
    FROM findings AS f
    LEFT JOIN sites AS s USING (site_id)
    LEFT JOIN told USING (finding_id)
    WHERE ($status IS NULL OR f.status = $status OR ($status = 'reopened' AND f.status = 'open' AND told.latest = 'reopened'))
      AND ($rule IS NULL OR f.rule = $rule)
      AND ($site IS NULL OR f.site_id = $site)
      AND ($finding IS NULL OR f.finding_id = $finding)
)
SELECT *, (SELECT count(*) FROM matching) AS total
FROM matching
ORDER BY
    status,
    CASE WHEN $ranked_by = 'money' THEN -wasted_musd END,
    coalesce(json_array_length(evidence, '$.ended_runs'), 0) DESC,
    evidence ->> '$.numbers.lost_calls' IS NOT DISTINCT FROM '0',
    evidence ->> '$.numbers.condition' IS NOT NULL,
    failed_runs * coalesce((evidence ->> '$.numbers.severity')::DOUBLE, 1) DESC,
    failed_runs DESC, wasted_musd DESC, cost_musd DESC, calls DESC, finding_id
LIMIT $limit OFFSET $offset

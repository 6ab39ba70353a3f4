-- Purpose: what came next in runs: from a line or a tool to the line or tool that began next.
-- Parameters: $run_ids VARCHAR[]: the runs looked at; $most BIGINT: edges.
-- One row per pair, the most travelled first. *_kind: start | site | tool | end; *_name: id of the line, name of the tool, '' of start
--   and end. times: how often; runs: in how many; failed: how often what it leads to failed (of an end: the run did); cost_musd:
--   micro-USD of the calls it leads to, unpriced counts those of unknown cost. edges_total and times_total: of all pairs. Tools that
--   nobody answered are no steps; of parallel ones the order is that in which they began.
WITH steps AS (
    SELECT run_id, started_ns, 'site' AS kind, site_id AS name, status <> 'ok' AS failed, cost_musd, cost_musd IS NULL AS unpriced, call_id AS id
    FROM calls
    WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
    UNION ALL
    SELECT run_id, coalesce(started_ns, ended_ns), 'tool', name, status = 'error', NULL, false, tool_id
    FROM tool_calls
    WHERE origin <> 'requested' AND run_id IN (SELECT unnest($run_ids::VARCHAR[]))
),
ordered AS (
    SELECT
        *,
        lag(kind, 1, 'start') OVER in_run AS from_kind,
        lag(name, 1, '') OVER in_run AS from_name,
        lead(kind) OVER in_run IS NULL AS is_last
    FROM steps
    WINDOW in_run AS (PARTITION BY run_id ORDER BY started_ns, kind, id)
),
edges AS (
    SELECT run_id, from_kind, from_name, kind AS to_kind, name AS to_name, failed, cost_musd, unpriced
    FROM ordered
    UNION ALL
    SELECT o.run_id, o.kind, o.name, 'end', '', coalesce(NOT e.success, r.status = 'error', false), NULL, false
    FROM ordered AS o
    LEFT JOIN runs AS r USING (run_id)
    LEFT JOIN effective_outcomes AS e USING (run_id)
    WHERE o.is_last
)
SELECT
    from_kind,
    from_name,
    to_kind,
    to_name,
    count(*) AS times,
    count(DISTINCT run_id) AS runs,
    count_if(failed) AS failed,
    coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd,
    count_if(unpriced) AS unpriced,
    count(*) OVER () AS edges_total,
    (sum(count(*)) OVER ())::BIGINT AS times_total
FROM edges
GROUP BY from_kind, from_name, to_kind, to_name
ORDER BY times DESC, from_kind, from_name, to_kind, to_name
LIMIT $most

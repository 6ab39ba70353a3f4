-- How often each tool failed, over all runs: a tool's definition is to blame only where it fails whoever calls it.
-- Parameters: none.
-- One row per tool name and set of tools it was offered in (digest; NULL where no model asked for it).
--   answered  executions whose end is known: their result came back or they were seen running. A result that carries no
--             mark of an error counts as no error. Calls with arguments that are no JSON object, and calls of a tool that
--             was not offered, say nothing about the tool and are left out.
--   errors    those that failed
--   runs      runs with at least one error
SELECT
    t.name,
    c.tools_digest,
    count(*)::BIGINT AS answered,
    count_if(t.status = 'error')::BIGINT AS errors,
    (count(DISTINCT t.run_id) FILTER (t.status = 'error'))::BIGINT AS runs
FROM tool_calls AS t
LEFT JOIN calls AS c USING (call_id)
WHERE t.origin <> 'requested' AND t.args_valid IS NOT FALSE AND t.offered IS NOT FALSE
GROUP BY t.name, c.tools_digest
ORDER BY t.name, c.tools_digest

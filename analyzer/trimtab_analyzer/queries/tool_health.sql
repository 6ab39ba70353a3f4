-- How often each tool failed, over all runs and all sets of tools it was offered in: a tool is to blame only where it fails
-- with whatever it is given.
-- Parameters: none.
-- One row per tool name, except those whose failures all had the same arguments: that may be the arguments' fault.
--   tools_digest  the set of tools it was offered in; NULL where there were several, or where no model asked for it
--   answered      executions whose end is known: their result came back or they were seen running. A result that carries no
--                 mark of an error counts as no error. Calls with arguments that are no JSON object, and calls of a tool
--                 that was not offered, say nothing about the tool and are left out.
--   errors        those that failed; a command that ended with an exit code ran, so the tool that ran it did not fail
--   runs          runs with at least one error
WITH executions AS (
    SELECT
        t.name,
        t.run_id,
        t.args_digest,
        c.tools_digest,
        t.status = 'error' AND t.error_type IS DISTINCT FROM 'exit_code' AS is_failed
    FROM tool_calls AS t
    LEFT JOIN calls AS c USING (call_id)
    WHERE t.origin <> 'requested' AND t.args_valid IS NOT FALSE AND t.offered IS NOT FALSE
)
SELECT
    name,
    CASE WHEN min(tools_digest) = max(tools_digest) THEN min(tools_digest) END AS tools_digest,
    count(*)::BIGINT AS answered,
    count_if(is_failed)::BIGINT AS errors,
    (count(DISTINCT run_id) FILTER (is_failed))::BIGINT AS runs
FROM executions
GROUP BY name
HAVING min(args_digest) FILTER (is_failed) <> max(args_digest) FILTER (is_failed)
ORDER BY name

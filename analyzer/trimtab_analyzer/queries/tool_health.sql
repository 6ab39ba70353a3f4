-- How often each tool failed, over all runs and all sets of tools it was offered in: a tool is to blame only where it fails
-- with whatever it is given.
-- Parameters: none.
-- One row per name of a tool that failed more often than not, except where its failures all had the same arguments: that may be
-- the arguments' fault.
--   tools_digest  the set of tools it was offered in; NULL where there were several, or where no model asked for it
--   answered      executions whose end is known: their result came back or they were seen running. A result that carries no
--                 mark of an error counts as no error. Calls with arguments that are no JSON object, and calls of a tool
--                 that was not offered, say nothing about the tool and are left out.
--   errors        those that failed; a command that ended with an exit code ran, so the tool that ran it did not fail
--   runs          runs with at least one error
WITH executions AS (
    SELECT name, run_id, call_id, args_digest, status = 'error' AND error_type IS DISTINCT FROM 'exit_code' AS is_failed
    FROM tool_calls
    WHERE origin <> 'requested' AND args_valid IS NOT FALSE AND offered IS NOT FALSE
),
failing AS (
    SELECT
        name,
        count(*)::BIGINT AS answered,
        count_if(is_failed)::BIGINT AS errors,
        (count(DISTINCT run_id) FILTER (is_failed))::BIGINT AS runs
    FROM executions
    GROUP BY name
    HAVING 2 * errors > answered
        AND min(args_digest) FILTER (is_failed) <> max(args_digest) FILTER (is_failed)
),
offered AS (
    SELECT e.name, CASE WHEN min(c.tools_digest) = max(c.tools_digest) THEN min(c.tools_digest) END AS tools_digest
    FROM executions AS e
    SEMI JOIN failing USING (name)
    LEFT JOIN calls AS c USING (call_id)
    GROUP BY e.name
)
SELECT name, tools_digest, answered, errors, runs
FROM failing
JOIN offered USING (name)
ORDER BY name

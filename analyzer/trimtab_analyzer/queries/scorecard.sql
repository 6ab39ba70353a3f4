-- What each run did, counted for the scorecard.
-- Parameters: none.
-- One row per ended run, in the order of their starts.
--   version        harness version; NULL where none was recorded
--   calls          LLM calls
--   in_window      those that met no context overflow and whose answer was not cut by a token limit (a limit of a single token is
--                  meant)
--   has_tools      a tool call was recorded in it
--   tool_calls     tool calls whose fate is known: answered, or with arguments that can't be parsed, or of a tool not offered
--   good_tools     those that were valid, offered and did not fail; a command's exit code is the command's
--   met_error      a request or a tool call failed in it
--   changed        a tool known to change things (mutates) ran in it
--   checked        a tool call that changes nothing known ran well after the last of those
WITH of_call AS (
    SELECT
        run_id,
        call_id,
        bool_or(coalesce(error_class = 'context_overflow', false)) AS overflowed,
        bool_or(
            coalesce(finish_reason = 'length', false) AND TRY_CAST(params ->> 'max_tokens' AS BIGINT) IS DISTINCT FROM 1
        ) AS was_cut,
        bool_or(error_class IS NOT NULL AND error_class <> 'cancelled') AS failed
    FROM attempts
    GROUP BY run_id, call_id
),
calls_of_run AS (
    SELECT
        run_id,
        count(*)::BIGINT AS calls,
        count_if(NOT overflowed AND NOT was_cut)::BIGINT AS in_window,
        bool_or(failed) AS met_error
    FROM of_call
    GROUP BY run_id
),
tools AS (
    SELECT
        run_id,
        mutates,
        coalesce(started_ns, ended_ns, 0) AS at_ns,
        args_valid IS FALSE AND coalesce(args_chars, 1) > 0 AS is_malformed,
        offered IS FALSE AS is_unknown,
        origin <> 'requested' AS was_run,
        status = 'error' AND error_type IS DISTINCT FROM 'exit_code' AS failed
    FROM tool_calls
),
changes AS (
    SELECT run_id, max(at_ns) AS last_ns FROM tools WHERE mutates AND was_run GROUP BY run_id
),
tools_of_run AS (
    SELECT
        t.run_id,
        count_if(was_run OR is_malformed OR is_unknown)::BIGINT AS tool_calls,
        count_if(was_run AND NOT is_malformed AND NOT is_unknown AND NOT failed)::BIGINT AS good_tools,
        bool_or(failed AND was_run) AS met_error,
        any_value(c.last_ns) IS NOT NULL AS changed,
        coalesce(bool_or(was_run AND NOT failed AND mutates IS NOT true AND at_ns > c.last_ns), false) AS checked
    FROM tools AS t
    LEFT JOIN changes AS c USING (run_id)
    GROUP BY t.run_id
)
SELECT
    r.run_id,
    r.harness AS version,
    coalesce(c.calls, 0)::BIGINT AS calls,
    coalesce(c.in_window, 0)::BIGINT AS in_window,
    t.run_id IS NOT NULL AS has_tools,
    coalesce(t.tool_calls, 0)::BIGINT AS tool_calls,
    coalesce(t.good_tools, 0)::BIGINT AS good_tools,
    coalesce(c.met_error, false) OR coalesce(t.met_error, false) AS met_error,
    coalesce(t.changed, false) AS changed,
    coalesce(t.checked, false) AS checked
FROM runs AS r
LEFT JOIN calls_of_run AS c ON c.run_id = r.run_id
LEFT JOIN tools_of_run AS t ON t.run_id = r.run_id
WHERE r.status IS NOT NULL
ORDER BY r.started_ns, r.run_id

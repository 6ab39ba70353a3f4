-- What goes over several runs: conversations, and oversized results of a tool that came in with requests of several, or of another run
-- than the tool's: which request brought it first, and where the tool is defined, are matters of all of them.
-- Parameters: $oversized_chars BIGINT.
-- One row per conversation (or `tool` and the id of its execution) and run of it.
WITH places AS (
    SELECT conversation_id AS conversation, run_id FROM calls WHERE conversation_id IS NOT NULL
    UNION
    SELECT 'tool ' || r.tool_id, a.run_id
    FROM tool_results AS r
    JOIN attempts AS a USING (attempt_id)
    WHERE r.result_chars > $oversized_chars
    UNION
    SELECT 'tool ' || t.tool_id, t.run_id
    FROM tool_calls AS t
    WHERE t.tool_id IN (SELECT tool_id FROM tool_results WHERE result_chars > $oversized_chars)
)
SELECT conversation, run_id
FROM places
WHERE conversation IN (SELECT conversation FROM places GROUP BY conversation HAVING min(run_id) <> max(run_id))
ORDER BY conversation, run_id

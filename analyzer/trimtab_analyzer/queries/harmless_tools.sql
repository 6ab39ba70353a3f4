-- The tools that are known to change nothing, so that a second call may be answered with the result of the first.
-- Parameters: none.
-- One row per tool name. Every execution of it that was recorded, in any run, says so (`mutates` is false); one that says
-- nothing is enough to leave the tool out.
SELECT name
FROM tool_calls
WHERE origin <> 'requested'
GROUP BY name
HAVING bool_and(mutates IS FALSE)
ORDER BY name

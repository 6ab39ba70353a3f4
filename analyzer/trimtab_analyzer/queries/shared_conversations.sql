-- Conversations that go over several runs.
-- Parameters: none.
-- One row per conversation and run of it.
SELECT DISTINCT conversation_id AS conversation, run_id
FROM calls
WHERE conversation_id IN (
    SELECT conversation_id FROM calls
    WHERE conversation_id IS NOT NULL
    GROUP BY conversation_id
    HAVING min(run_id) <> max(run_id)
)
ORDER BY conversation, run_id

-- The last calls of conversations.
-- Parameters: relation batch_tops (conversation_id VARCHAR).
-- One row per conversation: its last call by start, that one's state and the run it was recorded in, and the latest end.
SELECT
    conversation_id,
    arg_max(call_id, (started_ns, call_id)) AS call_id,
    arg_max(state, (started_ns, call_id)) AS state,
    arg_max(home, (started_ns, call_id)) AS home,
    max(ended_ns) AS ended_ns
FROM call_places
WHERE conversation_id IN (SELECT conversation_id FROM batch_tops)
GROUP BY conversation_id

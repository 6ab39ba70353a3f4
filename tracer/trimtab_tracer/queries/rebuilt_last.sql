-- The calls of conversations, for who looks for the last one of each: cheaper to plan than an aggregate.
-- Parameters: relation batch_tops (conversation_id VARCHAR). One row per call.
SELECT conversation_id, started_ns, call_id, state, home, ended_ns
FROM call_places
WHERE conversation_id IN (SELECT conversation_id FROM batch_tops)

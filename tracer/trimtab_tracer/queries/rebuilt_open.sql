-- Rebuilt runs whose end may be told otherwise now.
-- Parameters: relation batch_homes (run_id VARCHAR): recorded runs that have ended.
-- One row per conversation.
SELECT DISTINCT r.conversation_id
FROM runs AS r
JOIN call_places AS p ON p.conversation_id = r.conversation_id
WHERE r.origin = 'rebuilt' AND r.end_rule IS DISTINCT FROM 'final answer' AND p.home IN (SELECT run_id FROM batch_homes)

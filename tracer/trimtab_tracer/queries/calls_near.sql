-- The places of calls, of those that were made after any of them in a context, and of those that continue any of them.
-- Parameters: relation batch_around (call_id VARCHAR). One row per place, perhaps twice.
SELECT * FROM call_places WHERE call_id IN (SELECT call_id FROM batch_around)
UNION ALL
SELECT * FROM call_places WHERE after IN (SELECT call_id FROM batch_around)
UNION ALL
SELECT * FROM call_places WHERE parent IN (SELECT call_id FROM batch_around)

-- What ties the calls of a batch to others, and whether records came before their calls.
-- Parameters: relation batch_ids (call_id VARCHAR), relation batch_keys (key VARCHAR).
-- One row, perhaps two, per link of these calls or with these keys, and one without a key per call that is awaited.
SELECT call_id, key, is_offer FROM call_links WHERE call_id IN (SELECT call_id FROM batch_ids)
UNION ALL
SELECT call_id, key, is_offer FROM call_links WHERE key IN (SELECT key FROM batch_keys)
UNION ALL
SELECT call_id, NULL, NULL FROM awaited_calls WHERE call_id IN (SELECT call_id FROM batch_ids)

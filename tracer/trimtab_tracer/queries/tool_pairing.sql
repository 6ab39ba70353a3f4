-- What the pairing of requests and executions needs of the requests.
-- Parameters: relation batch_places (run_id VARCHAR).
-- One row per tool request in these runs whose attempt is known, of the last attempt of its call that asked for tools:
-- all requests of a call compete, whatever their name, as the answer of an earlier attempt was thrown away.
SELECT
    r.run_id, r.name, r.call_id || ':' || r.index AS tool_id, a.started_ns, r.call_id, r.index, r.args_digest,
    r.provider_id
FROM tool_requests AS r
JOIN (
    SELECT attempt_id, number, started_ns FROM attempts WHERE run_id IN (SELECT run_id FROM batch_places)
) AS a USING (attempt_id)
WHERE r.run_id IN (SELECT run_id FROM batch_places)
QUALIFY dense_rank() OVER (PARTITION BY r.call_id ORDER BY a.number DESC, r.attempt_id) = 1

-- What may be told of and is in no row of `notices` yet, oldest first.
-- Parameters: $kinds VARCHAR[]; $most BIGINT.
-- One row each: kind, subject, at_ns.
WITH candidates AS (
    SELECT 'new_finding' AS kind, finding_id AS subject, updated_ns AS at_ns FROM findings WHERE status = 'open'
    UNION ALL
    SELECT CASE WHEN action = 'roll_back' THEN 'rollback' ELSE 'budget_stop' END, audit_id::VARCHAR, at_ns
    FROM audit
    WHERE action IN ('budget_stop', 'spend_cap') OR (action = 'roll_back' AND via = 'sidecar')
)
SELECT c.kind, c.subject, c.at_ns
FROM candidates AS c
ANTI JOIN notices AS n ON n.kind = c.kind AND n.subject = c.subject
WHERE c.kind IN (SELECT unnest($kinds::VARCHAR[]))
ORDER BY c.at_ns, c.kind, c.subject
LIMIT $most

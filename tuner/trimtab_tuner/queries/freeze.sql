-- Purpose: who last stopped steering or let it go on.
-- Parameters: none.
-- One row, or none where nobody ever did; at_ns nanoseconds.
SELECT at_ns, actor, via, why
FROM audit
WHERE action IN ('freeze', 'unfreeze', 'spend_cap')
ORDER BY audit_id DESC
LIMIT 1

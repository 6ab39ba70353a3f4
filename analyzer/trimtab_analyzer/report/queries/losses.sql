-- Purpose: records that could not be kept.
-- Parameters: none.
-- One row per kind and reason, the most frequent first; size_bytes in bytes.
SELECT lost_kind, reason, sum(count)::BIGINT AS count, sum(size_bytes)::BIGINT AS size_bytes
FROM losses
GROUP BY lost_kind, reason
ORDER BY count DESC, lost_kind, reason

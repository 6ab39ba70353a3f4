-- Purpose: records that could not be kept, added up.
-- Parameters: $limit, $offset BIGINT.
-- One row per agent process, kind and reason. count in records, size_bytes in bytes, *_ns nanoseconds;
--   total is the number of rows, whatever the page.
WITH added AS (
    SELECT
        l.process_id,
        p.service,
        l.lost_kind,
        l.reason,
        sum(l.count)::BIGINT AS count,
        sum(l.size_bytes)::BIGINT AS size_bytes,
        min(l.ts_ns) AS first_ns,
        max(l.ts_ns) AS last_ns
    FROM losses AS l
    LEFT JOIN processes AS p USING (process_id)
    GROUP BY ALL
)
SELECT *, (SELECT count(*) FROM added) AS total
FROM added
ORDER BY last_ns DESC, process_id, lost_kind, reason
LIMIT $limit OFFSET $offset

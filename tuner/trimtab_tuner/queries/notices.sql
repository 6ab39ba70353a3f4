-- Purpose: what a webhook was told of, or is to be told of, newest first; not what was there before notices began.
-- Parameters: $limit, $offset BIGINT.
-- One row per notice, columns as in the table; total is the number of rows, whatever the page.
SELECT *, count(*) OVER () AS total
FROM notices
WHERE kind <> 'since' AND (next_ns IS NOT NULL OR sent_ns IS NOT NULL OR tries > 0)
ORDER BY noted_ns DESC, kind, subject
LIMIT $limit OFFSET $offset

-- Purpose: which files hold the kept texts of these runs.
-- Parameters: $run_ids VARCHAR[].
-- One row per file.
SELECT DISTINCT segment
FROM content
WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
ORDER BY segment

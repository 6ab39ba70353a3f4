-- Purpose: which of these runs hold a text in their name, task or error.
-- Parameters: $run_ids VARCHAR[]; $text VARCHAR, in any case.
-- One row per run.
SELECT run_id
FROM runs
WHERE run_id IN (SELECT unnest($run_ids::VARCHAR[]))
  AND contains(lower(concat_ws(chr(10), name, task, error_type, error_message)), lower($text))

-- Purpose: which of these runs hold a text in what is kept of their requests and responses.
-- Parameters: $files VARCHAR[], paths of Parquet files; $run_ids VARCHAR[]; $text VARCHAR, in any case. JSON writes some
--   signs of a text otherwise (a quote as \"), so a body is also searched for the text as JSON would write it.
-- One row per run. What a file holds beyond the index is void.
SELECT DISTINCT c.run_id
FROM read_parquet($files, filename = true) AS t
JOIN content AS c ON c.attempt_id = t.attempt_id AND c.role = t.role AND c.segment = parse_filename(t.filename)
WHERE t.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
  AND (
    contains(lower(t.body), lower($text))
    OR contains(lower(t.body), lower(trim(to_json($text::VARCHAR)::VARCHAR, '"')))
  )

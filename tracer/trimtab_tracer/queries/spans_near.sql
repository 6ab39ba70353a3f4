-- Call spans that overlap a stretch of time.
-- Parameters: $from_ns, $to_ns BIGINT. One row per span, with every column of `gen_ai_spans`.
SELECT *
FROM gen_ai_spans
WHERE subject = 'call' AND started_ns <= $to_ns AND ended_ns >= $from_ns

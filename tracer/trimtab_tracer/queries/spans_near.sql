-- Call spans that overlap a stretch of time; one that ends before it begins (a clock was set back) is where it begins.
-- Parameters: $from_ns, $to_ns BIGINT. One row per span, with every column of `gen_ai_spans`.
SELECT *
FROM gen_ai_spans
WHERE subject = 'call' AND started_ns <= $to_ns AND greatest(started_ns, ended_ns) >= $from_ns

-- How long answers were waited for, by place, model and whether they are streamed.
-- Parameters: $most BIGINT: of each the newest so many; $days DOUBLE: up to the newest attempt of the store.
-- One row per attempt, in order of start:
--   waited_s  until the answer was whole, of a stream until its first bytes; else until the wait ended
--   answered  false where a limit, another request or the agent ended the wait: the answer takes longer than that
-- What failed in another way (a refusal, a lost connection) is left out: it is no wait for an answer.
SELECT
    site_id,
    model,
    host,
    stream,
    CASE WHEN stream AND ttft_ns IS NOT NULL THEN ttft_ns ELSE ended_ns - started_ns END / 1e9 AS waited_s,
    error_class IS NULL AND ("end" = 'complete' OR stream AND ttft_ns IS NOT NULL) AS answered,
    output_tokens,
    cost_musd
FROM attempts
WHERE site_id IS NOT NULL AND model IS NOT NULL
  AND api <> 'openai.embeddings'
  AND ended_ns >= started_ns
  AND (error_class IS NULL OR error_class = 'timeout')
  AND started_ns >= (SELECT max(started_ns) FROM attempts) - $days * 86400e9
QUALIFY row_number() OVER (PARTITION BY site_id, model, stream ORDER BY started_ns DESC, attempt_id DESC) <= $most
ORDER BY site_id, model, stream, started_ns, attempt_id

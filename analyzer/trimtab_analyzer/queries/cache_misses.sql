-- Answers whose request could have been read from the provider's cache further than it was, had its beginning not changed.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $within_s DOUBLE: how long a provider keeps what was not asked again;
-- $cached: hosts and models of queries/cached_models.sql.
-- One row per such answer whose cost is known and not 0. Compared is the answer before it in the same conversation, at the
-- same host and model, where
--   - the conversation grew, and no more than $within_s went by between the end of the one and the start of the other;
--   - the system prompt or the set of tools, which stand before all messages, is another one than before;
--   - host and model are known to read from a cache: at least one answer in the store did.
--   missed_tokens   what could have been read less what was. What could: all that the answer before had read or written where
--                   the provider counts writes, else its prompt in blocks of 128 tokens, from 1,024 on
--   prompt_changed  the system prompt is another one; where it is not, the tools are
WITH cached AS (
    SELECT unnest($cached::STRUCT(host VARCHAR, model VARCHAR)[], recursive := true)
),
told AS (
    SELECT
        a.attempt_id,
        a.host,
        a.model,
        a.started_ns,
        a.ended_ns,
        a.message_count,
        a.prompt_digest,
        a.tools_digest,
        a.input_tokens,
        a.cache_read_tokens,
        a.cache_write_tokens,
        a.cost_musd,
        coalesce(c.conversation_id, a.run_id) AS conversation
    FROM attempts AS a
    JOIN cached USING (host, model)
    LEFT JOIN calls AS c USING (call_id)
    WHERE a.error_class IS NULL
      AND a."end" <> 'error'
      AND a.message_count IS NOT NULL
      AND ($run_ids::VARCHAR[] IS NULL OR a.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
),
changed AS (
    -- Most conversations keep prompt and tools, and a window over all of them takes longer than the rest.
    SELECT conversation, host, model
    FROM told
    GROUP BY conversation, host, model
    HAVING min(prompt_digest) <> max(prompt_digest) OR count(prompt_digest) NOT IN (0, count(*))
        OR min(tools_digest) <> max(tools_digest) OR count(tools_digest) NOT IN (0, count(*))
),
answers AS (
    SELECT * FROM told SEMI JOIN changed USING (conversation, host, model)
),
paired AS (
    SELECT
        *,
        lag(message_count) OVER same AS before_messages,
        lag(ended_ns) OVER same AS before_ended_ns,
        lag(prompt_digest) OVER same AS before_prompt,
        lag(tools_digest) OVER same AS before_tools,
        CASE
            WHEN lag(cache_write_tokens) OVER same IS NOT NULL
                THEN coalesce(lag(cache_read_tokens) OVER same, 0) + lag(cache_write_tokens) OVER same
            WHEN lag(input_tokens) OVER same >= 1024 THEN lag(input_tokens) OVER same // 128 * 128
            ELSE 0
        END AS reach
    FROM answers
    WINDOW same AS (PARTITION BY conversation, host, model ORDER BY started_ns, attempt_id)
)
SELECT
    attempt_id,
    least(reach, input_tokens) - cache_read_tokens AS missed_tokens,
    prompt_digest IS DISTINCT FROM before_prompt AS prompt_changed
FROM paired
WHERE message_count > before_messages
  AND started_ns - before_ended_ns BETWEEN 0 AND $within_s * 1e9
  AND (prompt_digest IS DISTINCT FROM before_prompt OR tools_digest IS DISTINCT FROM before_tools)
  AND least(reach, input_tokens) > cache_read_tokens
  AND cost_musd > 0
ORDER BY attempt_id

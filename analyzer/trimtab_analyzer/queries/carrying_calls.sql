-- The conversations in which an oversized tool result came in, call by call: who may have carried it along.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $oversized_chars BIGINT.
-- One row per attempt of such a conversation, in its order.
--   is_answer       it was answered and its tokens are known
--   output_tokens   of its answer, without hidden reasoning, which is not sent back
--   came_chars      characters of the oversized results that came in with it for the first time; 0 for most
--   tool_site_id    where the largest of those tools is defined, if it was seen running
WITH first_seen AS (
    SELECT r.tool_id, r.attempt_id, r.result_chars
    FROM tool_results AS r
    WHERE r.result_chars > $oversized_chars
    QUALIFY row_number() OVER (PARTITION BY r.tool_id ORDER BY r.seen_ns, r.attempt_id) = 1
),
came AS (
    SELECT
        f.attempt_id,
        sum(f.result_chars)::BIGINT AS came_chars,
        arg_max(t.site_id, f.result_chars) AS tool_site_id
    FROM first_seen AS f
    LEFT JOIN tool_calls AS t USING (tool_id)
    GROUP BY f.attempt_id
),
placed AS (
    SELECT
        a.attempt_id,
        coalesce(c.conversation_id, a.run_id) AS conversation,
        a.started_ns,
        a.message_count,
        a.input_tokens,
        greatest(0, coalesce(a.output_tokens, 0) - coalesce(a.reasoning_tokens, 0)) AS output_tokens,
        a.error_class IS NULL AND a."end" <> 'error' AND a.input_tokens IS NOT NULL AS is_answer
    FROM attempts AS a
    LEFT JOIN calls AS c USING (call_id)
    WHERE $run_ids::VARCHAR[] IS NULL OR a.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
),
talks AS (
    SELECT DISTINCT conversation FROM placed SEMI JOIN came USING (attempt_id)
)
SELECT
    p.conversation,
    p.attempt_id,
    p.message_count,
    p.input_tokens,
    p.output_tokens,
    p.is_answer,
    coalesce(k.came_chars, 0) AS came_chars,
    k.tool_site_id
FROM placed AS p
SEMI JOIN talks USING (conversation)
LEFT JOIN came AS k USING (attempt_id)
ORDER BY p.conversation, p.started_ns, p.attempt_id

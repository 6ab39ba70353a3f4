-- Runs that failed, as far as how they ended tells. No rule infers success: that a run ended with an answer does not say that
-- the answer was right (docs/outcomes.md has the figures).
-- Parameters: none.
-- One row per run of which a rule says something; the first rule that fits wins. docs/outcomes.md says what each means.
--   success     the rule's verdict: always false
--   rule        its id
--   confidence  of the rule, in (0, 1)
--   call_id     the call that tells: the last one of the run; NULL where it made none
WITH latest AS (
    SELECT run_id, max(started_ns) AS started_ns
    FROM calls
    WHERE api <> 'openai.embeddings'
    GROUP BY run_id
),
last_calls AS (
    -- in two steps, because arg_max by a pair takes three times as long
    SELECT run_id, max(call_id) AS call_id
    FROM calls
    SEMI JOIN latest USING (run_id, started_ns)
    WHERE api <> 'openai.embeddings'
    GROUP BY run_id
),
asked AS (
    -- what the last call asked tools for; a tool of such a name is how many harnesses take the final answer
    SELECT
        t.call_id,
        bool_and(t.origin = 'requested') AS is_unanswered,
        bool_or(t.args_valid = false) AS is_malformed,
        bool_or(regexp_matches(lower(t.name), '(^|[^a-z])(final|finish|submit|answer|respond|response|result|output|done|complete|end|stop)([^a-z]|$)'))
            AS is_final
    FROM tool_calls AS t
    JOIN last_calls AS l USING (call_id)
    GROUP BY t.call_id
),
ends AS (
    SELECT
        r.run_id,
        r.status,
        r.end_rule,
        coalesce(r.error_type, '') AS error_type,
        c.call_id,
        c.status AS call_status,
        c.finish_reason,
        c.output_chars,
        NOT regexp_matches(coalesce(c.params ->> 'tool_choice', 'auto'), '\b(auto|none)\b') AS is_forced,
        a.call_id IS NOT NULL AS has_asked,
        a.is_unanswered,
        a.is_malformed,
        a.is_final
    FROM runs AS r
    LEFT JOIN last_calls AS l USING (run_id)
    LEFT JOIN calls AS c ON c.call_id = l.call_id
    LEFT JOIN asked AS a ON a.call_id = l.call_id
    WHERE r.ended_ns IS NOT NULL AND r.is_split IS NOT true
),
ruled AS (
    SELECT
        run_id,
        call_id,
        CASE
            WHEN status = 'error' AND end_rule = 'process vanished' THEN 'vanished'
            WHEN status = 'error' AND error_type IN ('KeyboardInterrupt', 'SystemExit', 'GeneratorExit') THEN NULL
            WHEN status = 'error' THEN 'exception'
            WHEN call_status = 'error' THEN 'failed_call'
            WHEN call_status = 'abandoned' THEN NULL
            WHEN finish_reason = 'length' THEN 'cut_answer'
            WHEN finish_reason IN ('content_filter', 'refusal') THEN 'refused_answer'
            WHEN has_asked AND is_unanswered AND is_malformed THEN 'malformed_tool_call'
            WHEN has_asked AND is_unanswered AND NOT is_final AND NOT is_forced THEN 'unanswered_tool_call'
            WHEN has_asked THEN NULL
            WHEN finish_reason = 'stop' AND output_chars = 0 THEN 'empty_answer'
        END AS rule
    FROM ends
)
SELECT
    run_id,
    false AS success,
    rule,
    CASE
        WHEN rule = 'exception' THEN 0.95
        WHEN rule IN ('failed_call', 'refused_answer', 'malformed_tool_call') THEN 0.9
        WHEN rule IN ('cut_answer', 'empty_answer') THEN 0.85
        ELSE 0.8
    END::DOUBLE AS confidence,
    call_id
FROM ruled
WHERE rule IS NOT NULL
ORDER BY run_id

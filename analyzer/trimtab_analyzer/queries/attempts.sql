-- Every attempt with what became of its call: the raw material of the ledger and of the rules about requests and answers.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs; $repeatable VARCHAR[]: error classes that the same request
-- meets again (a retry of them is futile).
-- One row per attempt, ordered by start.
-- *_ns nanoseconds since the epoch, *_s seconds, cost_musd micro-USD (NULL where unknown), tokens NULL where unknown.
--   is_estimated  its tokens, or some of them, nobody reported: they are estimated from the text
--   is_failed     no answer came of it
--   is_last       no later attempt of its call
--   is_answer     the attempt whose answer the agent got: the last one of its call that did not fail
--   is_truncated  its answer was cut by a token limit; a limit of a single token (a label asked for as one token) is meant
--   is_rejected   a later request of the agent turned the answer down
--   duration_s    0 where it ends before it begins (queries/not_analysable.sql names it); limited_s is then NULL
--   pause_s       seconds between the attempt before it in its call and it; 0 for the first
--   limited_s     how long the attempt ran against its read limit: its duration, of a stream the time to its first bytes, because
--                 the limit then runs between bytes
--   is_client_timeout  the client's own limit ended it: a timeout after about the limit in force. Before an answer began, up to a
--                 tenth and a second more; once it began, any time after, because the limit then runs between bytes. A timeout
--                 far below the limit is another one's: a connect limit, a gateway
--   futile        call: an earlier attempt of the call at the same model had failed in a repeatable way, and so did this one; another
--                 model (a fallback) is another request;
--                 loop: the same body had failed so at the same address in the run, and was sent again within 60 s and failed
--                 so again; a job that asks once an hour whether its key works by now is no loop; else NULL
WITH facts AS (
    SELECT
        a.*,
        a.error_class IS NOT NULL OR a."end" = 'error' AS is_failed,
        a.error_class IS NOT NULL AND a.error_class IN (SELECT unnest($repeatable::VARCHAR[])) AS is_repeatable
    FROM attempts AS a
    WHERE $run_ids::VARCHAR[] IS NULL OR a.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
),
-- Most calls are a single attempt, and few fail in a repeatable way: windows are for the others only.
several AS (
    SELECT call_id FROM facts GROUP BY call_id HAVING count(*) > 1
),
in_call AS (
    SELECT
        attempt_id,
        number = max(number) OVER of_call AS is_last,
        max(CASE WHEN NOT is_failed THEN number END) OVER of_call AS answer_number,
        min(started_ns) OVER of_call AS call_started_ns,
        max(ended_ns) OVER of_call AS call_ended_ns,
        count_if(is_repeatable) OVER (
            PARTITION BY call_id, model ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS repeatable_in_call,
        greatest(0, started_ns - lag(ended_ns) OVER (PARTITION BY call_id ORDER BY number)) AS pause_ns
    FROM facts
    WHERE call_id IN (SELECT call_id FROM several)
    WINDOW of_call AS (PARTITION BY call_id)
),
in_run AS (
    SELECT
        attempt_id,
        max(ended_ns) OVER (
            PARTITION BY run_id, host, path, body_digest ORDER BY started_ns, number, attempt_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS repeatable_in_run_ns
    FROM facts
    WHERE is_repeatable AND body_digest IS NOT NULL
),
placed AS (
    SELECT
        f.*,
        coalesce(c.is_last, true) AS is_last,
        CASE WHEN c.attempt_id IS NULL THEN CASE WHEN NOT f.is_failed THEN f.number END ELSE c.answer_number END AS answer_number,
        coalesce(c.call_started_ns, f.started_ns) AS call_started_ns,
        coalesce(c.call_ended_ns, f.ended_ns) AS call_ended_ns,
        coalesce(c.repeatable_in_call, 0) AS repeatable_in_call,
        c.pause_ns,
        r.repeatable_in_run_ns
    FROM facts AS f
    LEFT JOIN in_call AS c USING (attempt_id)
    LEFT JOIN in_run AS r USING (attempt_id)
)
SELECT
    p.run_id,
    p.call_id,
    p.attempt_id,
    p.site_id,
    p.host,
    p.model,
    p.started_ns,
    p.ended_ns,
    p.call_started_ns,
    p.call_ended_ns,
    greatest(0, p.ended_ns - p.started_ns) / 1e9 AS duration_s,
    coalesce(c.wait_ns, 0) / 1e9 AS wait_s,
    coalesce(p.pause_ns, 0) / 1e9 AS pause_s,
    CASE
        WHEN p.ended_ns < p.started_ns THEN NULL
        WHEN p.stream THEN coalesce(p.ttft_ns, p.ended_ns - p.started_ns)
        ELSE p.ended_ns - p.started_ns
    END / 1e9 AS limited_s,
    p.stream,
    p.is_failed,
    p.is_last,
    coalesce(p.number = p.answer_number, false) AS is_answer,
    NOT p.is_failed AND p.finish_reason IS NOT DISTINCT FROM 'length'
        AND TRY_CAST(p.params ->> 'max_tokens' AS BIGINT) IS DISTINCT FROM 1 AS is_truncated,
    coalesce(p.number = p.answer_number, false) AND c.rejected_by_call_id IS NOT NULL AS is_rejected,
    CASE
        WHEN p.is_repeatable AND p.repeatable_in_call > 0 THEN 'call'
        WHEN p.is_repeatable AND p.body_digest IS NOT NULL AND p.started_ns - p.repeatable_in_run_ns <= 60e9 THEN 'loop'
    END AS futile,
    coalesce(
        p.error_class = 'timeout' AND p.timeout_s > 0 AND coalesce(p.http_status, 200) < 400
            AND (p.ended_ns - p.started_ns) / 1e9 >= 0.9 * p.timeout_s
            AND (p.http_status IS NOT NULL OR (p.ended_ns - p.started_ns) / 1e9 <= 1.1 * p.timeout_s + 1.0),
        false
    ) AS is_client_timeout,
    p.http_status,
    p.error_class,
    coalesce(p.provider_error_message, p.error_message, p.error_type) AS error_message,
    p.retry_after_s,
    p.timeout_s,
    p.input_tokens,
    p.output_tokens,
    p.reasoning_tokens,
    p.cost_musd,
    p.usage_source = 'estimated' AS is_estimated,
    p.max_retries,
    c.rejection_text
FROM placed AS p
LEFT JOIN calls AS c USING (call_id)
ORDER BY p.started_ns, p.attempt_id

-- Every tool call in the order of its run, and whether it repeats an earlier one.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per tool call, ordered by run and time.
--   idx           place in its answer, from 0
--   at_ns         when it started; where that is unknown, when the answer that asked for it ended
--   site_id       line of the call that asked for it; NULL where no model did
--   tool_site_id  line of the tool's definition, where it was seen running
--   is_malformed  its arguments are no JSON object; no arguments at all is not malformed
--   is_unknown    the request offered no tool of this name
--   repeats       the tool call that it repeats: same tool, arguments and result, in the same conversation, and nothing in
--                 between that may have changed anything. What may have: a tool known to change things, and one not known
--                 to be harmless unless it too only gave again what it had given before. A tool that gave different results
--                 to the same arguments within the run is watching something (a job, a queue), so asking again is its use:
--                 none of those calls repeats. NULL where it repeats none.
--   schema_error  what the schema of the offered tool says against its arguments; NULL where nothing, or where it is not known
--   stalls        the third or a later one of tool calls in a row, in one conversation, that each gave a result which this
--                 conversation had seen before, from whatever tool and arguments, and that changed nothing: the tool is known
--                 not to, or it failed. A result of a tool that may have changed something ends the row, and so does one that
--                 was not seen before, or of a tool that is watching something (see repeats)
WITH again AS (
    -- Runs in which something came twice: elsewhere nothing repeats and nothing stalls, and the windows below are dear.
    SELECT DISTINCT run_id
    FROM (
        SELECT run_id
        FROM tool_calls
        WHERE origin <> 'requested' AND result_digest IS NOT NULL AND args_digest IS NOT NULL
          AND ($run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[])))
        GROUP BY run_id, result_digest
        HAVING count(*) > 1
    )
),
facts AS (
    -- What tells repeats, and no more: the windows below sort it several times.
    SELECT
        t.tool_id,
        t.run_id,
        t.call_id,
        t.name,
        t.args_digest,
        t.result_digest,
        t.status,
        t.mutates,
        coalesce(TRY_CAST(split_part(t.tool_id, ':', -1) AS BIGINT), 0) AS idx,
        coalesce(t.started_ns, c.ended_ns, 0) AS at_ns,
        coalesce(c.started_ns, t.started_ns, 0) AS asked_ns,
        a.message_count,
        a.previous_response_id,
        coalesce(c.conversation_id, t.run_id) AS conversation,
        t.origin <> 'requested' AND t.result_digest IS NOT NULL AND t.args_digest IS NOT NULL AS is_comparable
    FROM tool_calls AS t
    SEMI JOIN again USING (run_id)
    LEFT JOIN calls AS c USING (call_id)
    LEFT JOIN (
        SELECT
            call_id,
            nullif(max(message_count), 0) AS message_count,
            max(previous_response_id) AS previous_response_id
        FROM attempts
        WHERE call_id IN (SELECT call_id FROM tool_calls SEMI JOIN again USING (run_id))
        GROUP BY call_id
    ) AS a USING (call_id)
),
numbered AS (
    SELECT *, row_number() OVER (PARTITION BY run_id ORDER BY at_ns, asked_ns, idx, tool_id) AS seq
    FROM facts
),
paired AS (
    SELECT
        *,
        lag(tool_id) OVER same AS before_id,
        lag(seq) OVER same AS before_seq,
        lag(call_id) OVER same AS before_call_id,
        lag(message_count) OVER same AS before_messages,
        is_comparable AND result_digest IS NOT DISTINCT FROM lag(result_digest) OVER same AS gives_again,
        is_comparable AND min(result_digest) OVER alike <> max(result_digest) OVER alike AS is_volatile,
        is_comparable
            AND lag(seq) OVER (PARTITION BY run_id, conversation, result_digest, is_comparable ORDER BY seq) IS NOT NULL
            AND (mutates IS FALSE OR status = 'error') AS gives_nothing_new
    FROM numbered
    WINDOW
        same AS (PARTITION BY run_id, name, args_digest, is_comparable ORDER BY seq),
        alike AS (PARTITION BY run_id, name, args_digest, is_comparable)
),
moving AS (
    -- how many tool calls up to and including this one may have changed something, and whether this one may have
    SELECT
        *,
        sum(moves) OVER (PARTITION BY run_id ORDER BY seq) AS moved,
        count_if(NOT gives_nothing_new OR is_volatile) OVER (PARTITION BY run_id, conversation ORDER BY seq) AS news
    FROM (SELECT *, CASE WHEN mutates OR (mutates IS NULL AND NOT gives_again) THEN 1 ELSE 0 END AS moves FROM paired)
),
repeated AS (
    SELECT
        m.*,
        m.gives_again
            AND m.mutates IS NOT TRUE
            AND NOT m.is_volatile
            AND m.moved - m.moves = b.moved -- nothing moved between the two
            -- a conversation grows; a request that did not grow is the start of another one, unless the server keeps its history
            AND (
                m.call_id IS NOT DISTINCT FROM m.before_call_id
                OR m.message_count IS NULL
                OR m.before_messages IS NULL
                OR m.previous_response_id IS NOT NULL
                OR m.message_count > m.before_messages
            ) AS is_repeat,
        -- the first of each row is the one that brought news
        row_number() OVER (PARTITION BY m.run_id, m.conversation, m.news ORDER BY m.seq) > 3 AS stalls
    FROM moving AS m
    LEFT JOIN moving AS b ON b.run_id = m.run_id AND b.seq = m.before_seq
)
SELECT
    t.run_id,
    t.call_id,
    t.tool_id,
    coalesce(TRY_CAST(split_part(t.tool_id, ':', -1) AS BIGINT), 0) AS idx,
    coalesce(t.started_ns, c.ended_ns, 0) AS at_ns,
    t.name,
    c.model,
    c.site_id,
    t.site_id AS tool_site_id,
    c.tools_digest,
    c.tools_offered,
    c.finish_reason,
    t.args_error,
    t.args_valid IS FALSE AND coalesce(t.args_chars, 1) > 0 AS is_malformed,
    t.offered IS FALSE AS is_unknown,
    t.origin,
    t.status,
    t.error_type,
    t.error_message,
    CASE WHEN r.is_repeat THEN r.before_id END AS repeats,
    q.schema_error,
    coalesce(r.stalls, false) AS stalls
FROM tool_calls AS t
LEFT JOIN calls AS c ON c.call_id = t.call_id
LEFT JOIN repeated AS r ON r.tool_id = t.tool_id
LEFT JOIN (
    SELECT call_id || ':' || index AS tool_id, max(schema_error) AS schema_error
    FROM tool_requests
    WHERE schema_error IS NOT NULL
    GROUP BY ALL
) AS q ON q.tool_id = t.tool_id
WHERE $run_ids::VARCHAR[] IS NULL OR t.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
ORDER BY t.run_id, at_ns, coalesce(c.started_ns, t.started_ns, 0), idx, t.tool_id

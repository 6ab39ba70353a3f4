-- What requests and responses said beyond the raw material of the ledger: what the rules about answers and conversations look at.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per attempt.
--   conversation_id  calls that continue each other; continues_call_id is the one before
--   n_offered        tools that the request offered
--   is_text          a conversational call, no embedding
--   opening … followed  signals of the exchange (trimtab_tracer.signals); NULL where it said nothing
SELECT
    a.attempt_id,
    a.process_id,
    a.number,
    a."end",
    a.parsed,
    c.conversation_id,
    c.continues_call_id,
    a.message_count,
    a.previous_response_id,
    a.output_chars,
    a.output_digest,
    a.prompt_digest,
    a.tools_digest,
    len(a.tools_offered) AS n_offered,
    a.cache_read_tokens,
    a.finish_reason,
    a.api <> 'openai.embeddings' AS is_text,
    s.opening,
    s.stops,
    s.disobeyed,
    s.refused,
    s.compacted,
    s.mismatch,
    s.verified,
    s.numbers,
    s.values_out,
    s.values_in,
    s.words_out,
    s.words_in,
    s.missing,
    s.followed
FROM (
    SELECT
        *,
        from_json(signals, '{"opening": "BIGINT", "stops": ["VARCHAR"], "disobeyed": ["VARCHAR"], "refused": "BOOLEAN", "compacted": "BOOLEAN", "mismatch": ["VARCHAR"], "verified": "BOOLEAN", "numbers": ["BIGINT"], "values_out": ["BIGINT"], "values_in": ["BIGINT"], "words_out": ["BIGINT"], "words_in": ["BIGINT"], "missing": ["VARCHAR"], "followed": "BIGINT"}') AS s
    FROM attempts
    WHERE $run_ids::VARCHAR[] IS NULL OR run_id IN (SELECT unnest($run_ids::VARCHAR[]))
) AS a
LEFT JOIN calls AS c USING (call_id)

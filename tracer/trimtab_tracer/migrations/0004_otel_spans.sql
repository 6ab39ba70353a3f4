-- Spans about LLM calls, tools and agents that the agent's own OpenTelemetry tracing made, and what they are joined to.
-- *_ns: nanoseconds, points in time since the Unix epoch, UTC, but for ttft_ns, which is a duration.
--
-- A call span is joined to the call that it tells of (`call_id`). Where no attempt of that call was seen on the wire,
-- the innermost of its spans stands in as an attempt of its own: attempts.api = 'otel', attempt_id and call_id are
-- trace_id || span_id, host is the server's address, method, path and body_digest are empty. It is removed when an
-- attempt arrives that the span belongs to.

CREATE TABLE gen_ai_spans (
    span_key VARCHAR PRIMARY KEY,       -- trace_id || span_id
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR NOT NULL,
    parent_span_id VARCHAR,             -- in the same trace
    home VARCHAR NOT NULL,              -- the run it was recorded in
    run_id VARCHAR NOT NULL,            -- of a call span: the run of its call; else home
    process_id VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,           -- call | tool | agent
    operation VARCHAR NOT NULL,         -- gen_ai.operation.name
    name VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,             -- instrumentation scope: who made the span
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    status VARCHAR NOT NULL,            -- ok | error
    error_type VARCHAR,
    error_message VARCHAR,
    http_status INTEGER,
    provider VARCHAR,                   -- gen_ai.provider.name
    host VARCHAR,
    model VARCHAR,
    response_model VARCHAR,
    response_id VARCHAR,
    request_id VARCHAR,
    finish_reason VARCHAR,
    stream BOOLEAN NOT NULL,
    ttft_ns BIGINT,
    input_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    tool_name VARCHAR,
    tool_call_id VARCHAR,
    agent_name VARCHAR,
    conversation_id VARCHAR,
    site_id VARCHAR,
    -- derived:
    call_id VARCHAR,                    -- of a call span: the call it tells of
    joined_by VARCHAR,                  -- response id | request id | parentage | containment: to what is inside it; alone: nothing is
    joined_to VARCHAR                   -- attempt_id or span_key of that
);

CREATE INDEX gen_ai_spans_of_run ON gen_ai_spans (run_id);
CREATE INDEX gen_ai_spans_of_call ON gen_ai_spans (call_id);
CREATE INDEX gen_ai_spans_joined ON gen_ai_spans (joined_to);

-- The span that was current when a request was sent: one of the agent's or of a library's, never ours.
ALTER TABLE attempts ADD COLUMN trace_id VARCHAR;
ALTER TABLE attempts ADD COLUMN span_id VARCHAR;

-- The same execution may be seen as it runs and by spans.
ALTER TABLE tool_runs ADD COLUMN provider_id VARCHAR;    -- the model's id of the tool call, where known
ALTER TABLE tool_runs ADD COLUMN span_scope VARCHAR;     -- who made the span it is known from; NULL where we saw it run
ALTER TABLE tool_runs ADD COLUMN same_as VARCHAR;        -- the tool run that stands for this execution; NULL where this one does

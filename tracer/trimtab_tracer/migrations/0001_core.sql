-- Core tables. One row per thing named by the table; content lives apart, in Parquet segments that `content` indexes.
-- *_ns: nanoseconds (points in time since the Unix epoch, UTC). *_musd: integer micro-USD. Ids are opaque text.
--
-- Money: `cost_reported_musd` is what the provider said, `cost_computed_musd` tokens x price list, `cost_musd` the one
-- that counts, and `cost_source` where that comes from:
--   reported   the provider's own figure; it wins over the computed one
--   estimated  tokens x price list
--   unbilled   0: an HTTP error status without usage, or a request that never reached the provider (connecting failed)
--   unknown    cost_musd is NULL: the model has no known price, or the tokens are not known, because the request timed
--              out or its connection or stream broke after it was sent. The provider may have billed such an attempt.
-- A call's figures are sums over its attempts; it is unknown if an attempt that has tokens is, or if no attempt is known.
--
-- Records come in any order and may come twice. Every table is filled by primary key; `calls` and `tool_calls` are
-- derived from the tables they summarise, for all ids that a batch touches, inside the same transaction.

CREATE TABLE processes (
    process_id VARCHAR PRIMARY KEY,
    pid INTEGER NOT NULL,
    started_ns BIGINT NOT NULL,
    service VARCHAR NOT NULL,
    script VARCHAR NOT NULL,
    cwd VARCHAR NOT NULL,
    python VARCHAR NOT NULL,
    trimtab VARCHAR NOT NULL,
    content_mode VARCHAR NOT NULL,
    boot_id VARCHAR NOT NULL,
    is_child BOOLEAN NOT NULL DEFAULT false,   -- forked or spawned by another Python process
    harness VARCHAR
);

CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY,
    parent_run_id VARCHAR,
    process_id VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    task VARCHAR,
    origin VARCHAR NOT NULL,            -- explicit | process | import; unknown: its start was lost, what is here is known from its calls
    harness VARCHAR,
    attributes JSON NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT,
    status VARCHAR,                     -- ok | error; NULL while it runs
    end_rule VARCHAR,                   -- block exit | process exit | import | process vanished (killed: it ends with its last record)
    error_type VARCHAR,
    error_message VARCHAR,
    error_site_id VARCHAR
);

CREATE TABLE sites (
    site_id VARCHAR PRIMARY KEY,
    file VARCHAR NOT NULL,
    function VARCHAR NOT NULL,
    line INTEGER NOT NULL,
    end_line INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    owner VARCHAR NOT NULL              -- user | library
);

CREATE TABLE attempts (
    attempt_id VARCHAR PRIMARY KEY,
    call_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    process_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    api VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    site_id VARCHAR NOT NULL,
    "end" VARCHAR NOT NULL,             -- complete | error | abandoned
    stream BOOLEAN NOT NULL,
    http_status INTEGER,
    error_class VARCHAR,                -- rate_limit | overloaded | server | timeout | connection | stream_broken | auth |
                                        -- not_found | bad_request | context_overflow | quota | cancelled | other; NULL when fine
    error_type VARCHAR,
    error_message VARCHAR,
    provider_error_type VARCHAR,
    provider_error_code VARCHAR,
    provider_error_message VARCHAR,
    ttft_ns BIGINT,
    chunks INTEGER NOT NULL,
    request_bytes BIGINT NOT NULL,
    response_bytes BIGINT NOT NULL,
    body_digest VARCHAR,
    request_id VARCHAR,
    retry_after_s DOUBLE,
    sdk_retry INTEGER,
    timeout_s DOUBLE,
    max_retries INTEGER,
    provider VARCHAR,                   -- genai-prices provider id, or the host where unknown
    model VARCHAR,
    response_model VARCHAR,
    response_id VARCHAR,
    previous_response_id VARCHAR,
    finish_reason VARCHAR,
    finish_reason_raw VARCHAR,
    input_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    usage_source VARCHAR NOT NULL DEFAULT 'unknown',
    cost_musd BIGINT,
    cost_source VARCHAR NOT NULL DEFAULT 'unknown',     -- see the top of this file
    cost_reported_musd BIGINT,
    cost_computed_musd BIGINT,
    price_version VARCHAR,
    message_count INTEGER,
    output_chars BIGINT,
    output_digest VARCHAR,
    prompt_digest VARCHAR,
    tools_digest VARCHAR,
    tools_offered VARCHAR[],
    params JSON,
    rejects_call_id VARCHAR,            -- the earlier call whose answer this request turns down
    rejection_text VARCHAR,
    parsed BOOLEAN NOT NULL DEFAULT false   -- whether the exchange (what request and response said) has arrived
);

-- Exchanges whose attempt is not here yet, as the record's JSON; moved into `attempts` when it comes.
CREATE TABLE waiting_exchanges (
    attempt_id VARCHAR PRIMARY KEY,
    record VARCHAR NOT NULL
);

-- Live batches touch one call of a store of any size: each question that ingestion asks has an index.
CREATE INDEX attempts_of_call ON attempts (call_id);
CREATE INDEX attempts_of_run ON attempts (run_id);
CREATE INDEX attempts_rejecting ON attempts (rejects_call_id);

-- One row per logical call, derived from its attempts.
CREATE TABLE calls (
    call_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    process_id VARCHAR NOT NULL,
    site_id VARCHAR NOT NULL,
    api VARCHAR NOT NULL,
    provider VARCHAR,
    host VARCHAR NOT NULL,
    model VARCHAR,
    response_model VARCHAR,
    response_id VARCHAR,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    wait_ns BIGINT NOT NULL,            -- time between its attempts
    status VARCHAR NOT NULL,            -- ok | error | abandoned: how the last attempt ended
    http_status INTEGER,
    error_class VARCHAR,
    error_message VARCHAR,
    finish_reason VARCHAR,
    stream BOOLEAN NOT NULL,
    ttft_ns BIGINT,
    input_tokens BIGINT,                -- sums over attempts
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    usage_source VARCHAR NOT NULL,
    cost_musd BIGINT,
    cost_source VARCHAR NOT NULL,
    cost_reported_musd BIGINT,
    cost_computed_musd BIGINT,
    body_digest VARCHAR,
    output_digest VARCHAR,
    output_chars BIGINT,
    prompt_digest VARCHAR,
    tools_digest VARCHAR,
    tools_offered VARCHAR[],
    params JSON,
    rejected_by_call_id VARCHAR,        -- the first call whose request turned this one's answer down
    rejection_text VARCHAR
);

-- What models asked for, one row per tool call in a response.
CREATE TABLE tool_requests (
    attempt_id VARCHAR NOT NULL,
    index INTEGER NOT NULL,
    call_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    provider_id VARCHAR,
    name VARCHAR NOT NULL,
    args_digest VARCHAR,
    args_valid BOOLEAN NOT NULL,
    args_error VARCHAR,
    args_chars BIGINT NOT NULL,
    PRIMARY KEY (attempt_id, index)
);

CREATE INDEX tool_requests_of_call ON tool_requests (call_id);
CREATE INDEX tool_requests_of_run ON tool_requests (run_id);

-- Tool answers as they went back to a model, one row per request that carried one.
CREATE TABLE tool_results (
    tool_id VARCHAR NOT NULL,
    attempt_id VARCHAR NOT NULL,        -- the request that carried it
    seen_ns BIGINT NOT NULL,
    status VARCHAR NOT NULL,            -- ok | error | unknown
    error_type VARCHAR,
    error_message VARCHAR,
    result_digest VARCHAR,
    result_chars BIGINT NOT NULL,
    PRIMARY KEY (tool_id, attempt_id)
);

CREATE INDEX tool_results_of_tool ON tool_results (tool_id);

-- Tool executions that were seen as they ran.
CREATE TABLE tool_runs (
    tool_run_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    process_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    status VARCHAR NOT NULL,            -- ok | error
    args_digest VARCHAR,
    result_digest VARCHAR,
    result_chars BIGINT NOT NULL,
    error_type VARCHAR,
    error_message VARCHAR,
    site_id VARCHAR,
    mutates BOOLEAN,
    tool_id VARCHAR                     -- the request it answers; NULL where no model asked for it
);

CREATE INDEX tool_runs_of_run ON tool_runs (run_id);

-- One row per tool call, derived from the three tables above.
CREATE TABLE tool_calls (
    tool_id VARCHAR PRIMARY KEY,        -- `<call_id>:<index>`, or the tool run's own id where no model asked for it
    run_id VARCHAR NOT NULL,
    call_id VARCHAR,                    -- the call that asked for it
    provider_id VARCHAR,
    name VARCHAR NOT NULL,
    args_digest VARCHAR,
    args_valid BOOLEAN,
    args_error VARCHAR,
    args_chars BIGINT,
    offered BOOLEAN,                    -- whether the request offered a tool of this name; NULL where it names none at all
    origin VARCHAR NOT NULL,            -- requested (never answered) | inferred (its result came back) | observed (seen running)
    started_ns BIGINT,                  -- inferred: end of the request that asked for it
    ended_ns BIGINT,                    -- inferred: start of the request that carried its result
    is_upper_bound BOOLEAN NOT NULL,    -- true where the times are inferred from the calls around it
    status VARCHAR NOT NULL,            -- ok | error | unknown
    error_type VARCHAR,
    error_message VARCHAR,
    result_digest VARCHAR,
    result_chars BIGINT,
    site_id VARCHAR,                    -- the tool's definition, where observed
    mutates BOOLEAN,
    tool_run_id VARCHAR                 -- the observed execution joined to this request
);

CREATE INDEX tool_calls_of_call ON tool_calls (call_id);

CREATE TABLE decisions (
    decision_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    call_id VARCHAR,                    -- NULL for a decision that holds for the run
    knob VARCHAR NOT NULL,
    value JSON NOT NULL,                -- 'null' where the code set nothing
    source VARCHAR NOT NULL,            -- code | default | human | experiment
    propensity DOUBLE NOT NULL,
    site_id VARCHAR NOT NULL,
    site_role VARCHAR NOT NULL,         -- call | constructor | knob
    policy_version INTEGER,
    decided_ns BIGINT NOT NULL
);

CREATE TABLE outcomes (
    outcome_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    recorded_ns BIGINT NOT NULL,
    success BOOLEAN,
    score DOUBLE,
    source VARCHAR NOT NULL,            -- explicit | evaluator | inferred
    comment VARCHAR
);

CREATE TABLE spans (
    span_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    process_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    method VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    http_status INTEGER,
    error_type VARCHAR,
    site_id VARCHAR
);

CREATE TABLE content (
    attempt_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,              -- request | response
    call_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    recorded_ns BIGINT NOT NULL,
    segment VARCHAR NOT NULL,           -- file name below content/
    PRIMARY KEY (attempt_id, role)
);

CREATE INDEX content_of_call ON content (call_id);

CREATE TABLE findings (
    finding_id VARCHAR PRIMARY KEY,     -- digest of rule, knob, value, site and subject: the same finding keeps its id
    rule VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,           -- what it is about beyond the site: a tool's name, a model; '' where nothing
    knob VARCHAR NOT NULL,
    value JSON NOT NULL,
    site_id VARCHAR,
    title VARCHAR NOT NULL,
    advice VARCHAR NOT NULL,
    status VARCHAR NOT NULL,            -- open | resolved
    runs INTEGER NOT NULL,
    failed_runs INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    cost_musd BIGINT NOT NULL,          -- known cost of the calls it names
    wasted_musd BIGINT NOT NULL,        -- the part of it that the ledger assigns to this rule's class
    evidence JSON NOT NULL,             -- {"calls": [...], "attempts": [...], "tools": [...], "numbers": {...}}
    first_seen_ns BIGINT NOT NULL,
    last_seen_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL
);

CREATE TABLE ingest_ledger (
    segment VARCHAR PRIMARY KEY,        -- spool segment's file name
    process_id VARCHAR,
    offset_bytes BIGINT NOT NULL,       -- everything before it is in the store
    records BIGINT NOT NULL,
    closed BOOLEAN NOT NULL,
    updated_ns BIGINT NOT NULL
);

CREATE TABLE losses (
    process_id VARCHAR NOT NULL,
    lost_kind VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    ts_ns BIGINT NOT NULL,
    count BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    PRIMARY KEY (process_id, lost_kind, reason, ts_ns)
);

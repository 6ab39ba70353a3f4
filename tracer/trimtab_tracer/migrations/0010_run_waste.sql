-- Where money and time of each run went, kept from one analysis to the next: sums of what the analyzer derives from the other
-- tables, so nothing is in here that could not be made anew. *_ns nanoseconds, *_musd integer micro-USD.

-- One row per run that was analysed.
CREATE TABLE analysed_runs (
    run_id VARCHAR NOT NULL,
    mark UBIGINT NOT NULL,              -- digest of everything that its sums were computed from (analyzer: queries/run_marks.sql)
    untimed VARCHAR                     -- why its time can't be split; NULL where it can
);

-- One row per run, agent, class and pin.
CREATE TABLE run_money (
    run_id VARCHAR NOT NULL,
    agent VARCHAR,
    cls VARCHAR NOT NULL,
    knob VARCHAR,
    value VARCHAR,                      -- JSON text
    site_id VARCHAR,
    calls BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    cost_musd BIGINT NOT NULL,
    unknown BIGINT NOT NULL,            -- attempts of unknown cost
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL
);

-- One row per run, agent, state, class and pin. The time of a run inside another one is in both.
CREATE TABLE run_time (
    run_id VARCHAR NOT NULL,
    agent VARCHAR,
    is_outermost BOOLEAN NOT NULL,
    state VARCHAR NOT NULL,             -- model | tool | retry_wait | idle
    cls VARCHAR NOT NULL,
    knob VARCHAR,
    value VARCHAR,
    site_id VARCHAR,
    calls BIGINT NOT NULL,
    ns BIGINT NOT NULL,
    bound_ns BIGINT NOT NULL            -- those of a tool that are an upper bound only
);

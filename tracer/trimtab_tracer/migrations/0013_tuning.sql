-- What is learned while agents run: modes of knobs, experiments whose weights are learned, and what became of them.
-- *_ns: nanoseconds since the Unix epoch, UTC. Only the sidecar's control writes these tables.

ALTER TABLE decisions ADD COLUMN drawn VARCHAR;     -- 'incumbent' where an experiment drew that: `value` is then the code's own

-- What trimtab may do about a knob without being asked; a knob without a row has the mode of row '*', and without that
-- one the mode of the setting `tune_mode`.
CREATE TABLE knob_modes (
    knob VARCHAR PRIMARY KEY,           -- name of a knob, or '*' for all that have no row of their own
    mode VARCHAR NOT NULL,              -- observe | recommend | auto
    set_ns BIGINT NOT NULL,
    set_by VARCHAR NOT NULL
);

-- One row per experiment whose weights are learned; the experiment itself is in `experiments`, its weights in the policy.
CREATE TABLE campaigns (
    experiment_id VARCHAR PRIMARY KEY,
    spec JSON NOT NULL,                 -- what was asked for: arms, objective, margin, caps
    state JSON NOT NULL,                -- what was learned; read back with a check, never by hand
    verdict JSON NOT NULL,              -- per arm: units, means of quality, cost and latency with intervals
    weights JSON NOT NULL,              -- as published last: context ('' for all others) -> arm -> weight
    phase VARCHAR NOT NULL,             -- exploring | promoted | halted
    promoted_arm VARCHAR,
    units BIGINT NOT NULL,              -- learned from so far
    updated_ns BIGINT NOT NULL,
    published_ns BIGINT NOT NULL        -- when its weights were published last
);

-- Units (one run at one line) that a campaign has learned from: each fact counts once, whatever is killed when.
CREATE TABLE campaign_units (
    experiment_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    site_id VARCHAR NOT NULL,
    learned_ns BIGINT NOT NULL,
    has_quality BOOLEAN NOT NULL,       -- what came of it was known; else that is learned when it is
    PRIMARY KEY (experiment_id, run_id, site_id)
);

-- What happened to a campaign, for its time line; ids are 1, 2, 3, … without a gap.
CREATE TABLE campaign_events (
    event_id BIGINT PRIMARY KEY,
    experiment_id VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    kind VARCHAR NOT NULL,              -- started | weights | aa_passed | aa_failed | arm_added | arm_dropped | arm_readmitted | budget_stop |
                                        -- budget_resumed | clock_back | drift | halted | observation_refused | price_changed |
                                        -- promotion_ready | promoted | reset | rollback | share_mismatch | ended | unreadable
    arm VARCHAR,                        -- canonical JSON of its value, or 'incumbent'
    told VARCHAR NOT NULL,              -- one sentence
    figures JSON NOT NULL
);

ALTER TABLE recommendations ADD COLUMN learned_by VARCHAR DEFAULT 'rule';  -- rule | effect | association | shadow
ALTER TABLE recommendations ADD COLUMN calls_per_day DOUBLE;  -- that it would change, by the calls of the last days; NULL: not known
ALTER TABLE recommendations ADD COLUMN wrong_if VARCHAR;      -- one sentence: what would make it wrong
ALTER TABLE recommendations ADD COLUMN experiment_id VARCHAR; -- that it was learned in; NULL for others

-- What another model answered when it was asked the same as a recorded call, beside the agent.
CREATE TABLE shadow_pairs (
    call_id VARCHAR NOT NULL,           -- the recorded call
    site_id VARCHAR NOT NULL,
    own_model VARCHAR NOT NULL,
    model VARCHAR NOT NULL,             -- that was asked
    judge VARCHAR NOT NULL,             -- agreement | the name of the user's own function
    own_quality DOUBLE NOT NULL,        -- 0 to 1 by that judge
    quality DOUBLE NOT NULL,
    own_cost_musd BIGINT,
    cost_musd BIGINT,
    own_latency_s DOUBLE,
    latency_s DOUBLE,
    asked_ns BIGINT NOT NULL,
    asked_by VARCHAR NOT NULL,
    PRIMARY KEY (call_id, model, judge)
);

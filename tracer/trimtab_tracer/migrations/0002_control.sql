-- What people decided about the running agents, and what followed: policy, recommendations, experiments, audit.
-- *_ns: nanoseconds, points in time since the Unix epoch, UTC. Only the sidecar's control writes these tables; the
-- published policy file is a copy of the newest row of `policy_versions`.

ALTER TABLE decisions ADD COLUMN choices JSON;  -- declared knobs: the values it may take; NULL where the code names none

-- One row per policy that was ever in force. A document is issued again and again while it holds; that adds no row.
CREATE TABLE policy_versions (
    version INTEGER PRIMARY KEY,        -- 1, 2, 3, …: each decision that changes what agents obey makes a new one
    issued_ns BIGINT NOT NULL,          -- first issue
    document JSON NOT NULL,             -- as it was first issued
    reason VARCHAR NOT NULL,            -- what made it, in words
    actor VARCHAR NOT NULL,
    via VARCHAR NOT NULL                -- api | cli | dashboard | demo | sidecar
);

CREATE TABLE recommendations (
    recommendation_id VARCHAR PRIMARY KEY,  -- digest of knob, match, from_value, to_value and rule: the same proposal keeps its id
    finding_id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,              -- of the finding
    knob VARCHAR NOT NULL,
    service VARCHAR,
    model VARCHAR,
    site_id VARCHAR,
    file VARCHAR,
    function VARCHAR,
    line INTEGER,
    title VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    from_value JSON NOT NULL,           -- 'null' where the code sets nothing
    to_value JSON NOT NULL,
    match JSON NOT NULL,                -- {"site", "service", "model"}: what the rule will match; a key left out is any
    expected JSON NOT NULL,
    evidence JSON NOT NULL,
    risk VARCHAR NOT NULL,
    status VARCHAR NOT NULL,            -- proposed | accepted | active | promoted | rejected | rolled_back | expired
                                        -- accepted: its rule is published; active: a call obeyed it; promoted: a person says it is
                                        -- proven, its rule stays; rolled_back: its rule is gone; expired: nobody decided, and its
                                        -- finding no longer asks for it
    version INTEGER NOT NULL,           -- from 1, one more at every change of status
    proposed_ns BIGINT NOT NULL,        -- when it was proposed last
    updated_ns BIGINT NOT NULL,
    decided_ns BIGINT,                  -- the last decision of a person (or of the sidecar, where it superseded it)
    decided_by VARCHAR,
    decided_via VARCHAR,
    decided_why VARCHAR,
    rule_id VARCHAR,                    -- of the policy rule, once accepted
    policy_version INTEGER,             -- first version that carried its rule, the last time it was accepted
    obeyed_ns BIGINT                    -- first decision of an agent that obeyed it
);

CREATE TABLE experiments (
    experiment_id VARCHAR PRIMARY KEY,
    knob VARCHAR NOT NULL,
    match JSON NOT NULL,
    arms JSON NOT NULL,                 -- [{"value" | "incumbent": true, "weight"}, …]
    status VARCHAR NOT NULL,            -- running | stopped
    version INTEGER NOT NULL,           -- from 1, one more at every change of status
    why VARCHAR,
    started_ns BIGINT NOT NULL,
    started_by VARCHAR NOT NULL,
    stopped_ns BIGINT,
    stopped_by VARCHAR,
    rule_id VARCHAR NOT NULL,
    policy_version INTEGER NOT NULL     -- first version that carried its rule, the last time it was started
);

-- One row per decision, never changed and never removed; ids are 1, 2, 3, … without a gap.
CREATE TABLE audit (
    audit_id BIGINT PRIMARY KEY,
    at_ns BIGINT NOT NULL,
    actor VARCHAR NOT NULL,
    via VARCHAR NOT NULL,               -- api | cli | dashboard | demo | sidecar
    action VARCHAR NOT NULL,            -- accept | reject | roll_back | promote | expire | activate | start_experiment |
                                        -- stop_experiment | put_rule | remove_rule | roll_back_policy | freeze | unfreeze |
                                        -- spend_cap | outcome
    subject_kind VARCHAR NOT NULL,      -- recommendation | experiment | rule | policy | run
    subject_id VARCHAR NOT NULL,
    from_value JSON,
    to_value JSON,
    why VARCHAR,
    policy_version INTEGER NOT NULL     -- in force after it
);

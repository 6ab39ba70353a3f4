-- What failed runs undid, and outcomes that nobody said.
-- *_ns: nanoseconds, points in time since the Unix epoch, UTC.

-- The compensations of one failed run that undoes its side effects (`trimtab.run(..., compensate=True)`).
CREATE TABLE sagas (
    saga_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    process_id VARCHAR NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    cause VARCHAR NOT NULL,             -- exception | outcome: why the run counts as failed
    outcome VARCHAR NOT NULL,           -- compensated | partly | failed | nothing to do
    steps INTEGER NOT NULL
);

CREATE INDEX sagas_of_run ON sagas (run_id);

-- One row per side effect of such a run, in the order of undoing. A saga that its process did not live to end has steps and
-- no row in `sagas`.
CREATE TABLE saga_steps (
    saga_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    run_id VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    tool_run_id VARCHAR,                -- the execution that is undone: tool_runs
    compensation VARCHAR,               -- NULL where the tool declares none
    status VARCHAR NOT NULL,            -- compensated | failed | undeclared | unknown | not_done | not_run (records.SagaStep)
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    error_type VARCHAR,
    error_message VARCHAR,
    site_id VARCHAR,                    -- the compensation's definition
    PRIMARY KEY (saga_id, number)
);

CREATE INDEX saga_steps_of_run ON saga_steps (run_id);

ALTER TABLE tool_runs ADD COLUMN compensation VARCHAR;      -- the function that the code declares to undo it
ALTER TABLE outcomes ADD COLUMN evaluator VARCHAR;          -- who says it, where an evaluator does
ALTER TABLE outcomes ADD COLUMN evaluator_version VARCHAR;

-- What the analysis infers of runs from how they ended. Computed anew with each analysis; counts only where `outcomes` has
-- nothing of the run.
CREATE TABLE inferred_outcomes (
    run_id VARCHAR PRIMARY KEY,
    success BOOLEAN NOT NULL,
    rule VARCHAR NOT NULL,              -- analyzer: queries/inferred_outcomes.sql
    confidence DOUBLE NOT NULL,         -- of the rule, in (0, 1): docs/outcomes.md says where it comes from
    call_id VARCHAR,                    -- the call that tells
    inferred_ns BIGINT NOT NULL         -- when it was inferred first, or last changed
);

-- The outcome that counts of each run of which anything is known: explicit before evaluator before inferred, the latest of the
-- same source. What was recorded as inferred (an importer's) comes before what the analysis infers; only the latter has a rule
-- and a confidence.
CREATE VIEW effective_outcomes AS
WITH said AS (
    SELECT run_id, success, score, source
    FROM outcomes
    QUALIFY row_number() OVER (
        PARTITION BY run_id
        ORDER BY list_position(['explicit', 'evaluator', 'inferred'], source) NULLS LAST, recorded_ns DESC, outcome_id DESC
    ) = 1
)
SELECT *, NULL::VARCHAR AS rule, NULL::DOUBLE AS confidence
FROM said
UNION ALL
SELECT run_id, success, NULL, 'inferred', rule, confidence
FROM inferred_outcomes
WHERE run_id NOT IN (SELECT run_id FROM said);

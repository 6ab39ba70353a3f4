-- Runs that nobody declared: which call continues which, the conversations they make, and the runs these are.
-- Filled by ingestion (rebuild.py says how, docs/decisions/0015-rebuilt-runs.md why). Calls from before this migration have
-- no place and stay in the run they were recorded in.

-- One row per call: what it is put together by, then what follows. Only the first call of a conversation says what that is
-- nested in, and only the first call of an outermost one whether there is more than that call.
CREATE TABLE call_places (
    call_id VARCHAR PRIMARY KEY,
    home VARCHAR NOT NULL,              -- the run it was recorded in
    pool VARCHAR NOT NULL,              -- '' where that is a process's run, else that run: calls of two pools never belong together
    process_id VARCHAR NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    after VARCHAR,                      -- the call made before it in its context, or in the one that spawned its context
    is_branch BOOLEAN NOT NULL,         -- whether it is the latter
    tools_digest VARCHAR,
    state VARCHAR NOT NULL,             -- answered | waiting (for tools) | failed | abandoned | unknown (not read yet)
    first_number INTEGER NOT NULL,      -- the attempt that after and is_branch are from
    last_seen INTEGER NOT NULL,         -- what state and tools_digest are from: twice the attempt's number, one more once it was read
    parent VARCHAR,                     -- the call it continues
    rule VARCHAR,                       -- response id | conversation key | tool call id | messages and answer | sent again | messages | context
    is_opening BOOLEAN NOT NULL,        -- nothing but unlinked calls lead to it
    conversation_id VARCHAR NOT NULL,   -- id of the conversation's first call
    nested_in VARCHAR,                  -- conversation_id of the one around
    top_id VARCHAR NOT NULL,            -- conversation_id of the outermost one around
    is_multi BOOLEAN NOT NULL,
    is_spanning BOOLEAN NOT NULL,       -- calls of several recorded runs belong to it
    run_id VARCHAR NOT NULL             -- the run it belongs to
);

CREATE INDEX call_places_after ON call_places (after);
CREATE INDEX call_places_parent ON call_places (parent);
CREATE INDEX call_places_of_conversation ON call_places (conversation_id);

-- Keys that a call offers to later ones, or wants of an earlier one.
CREATE TABLE call_links (
    call_id VARCHAR NOT NULL,
    key VARCHAR NOT NULL,               -- the kind's letter (records.Exchange.links_in) and 16 hex digits
    is_offer BOOLEAN NOT NULL
);

CREATE INDEX call_links_of_key ON call_links (key);
CREATE INDEX call_links_of_call ON call_links (call_id);

-- Calls that other records named before they came.
CREATE TABLE awaited_calls (call_id VARCHAR NOT NULL);

ALTER TABLE calls ADD COLUMN conversation_id VARCHAR;       -- calls that continue each other; id of the first one
ALTER TABLE calls ADD COLUMN continues_call_id VARCHAR;     -- the call it continues
ALTER TABLE calls ADD COLUMN linked_by VARCHAR;             -- how that is known: call_places.rule
ALTER TABLE runs ADD COLUMN is_split BOOLEAN DEFAULT false; -- a process's run whose calls are in rebuilt runs, its children
ALTER TABLE runs ADD COLUMN conversation_id VARCHAR;        -- of a rebuilt run: its outermost conversation
ALTER TABLE tool_runs ADD COLUMN after_call_id VARCHAR;     -- the call made last where it ran
ALTER TABLE spans ADD COLUMN after_call_id VARCHAR;
ALTER TABLE outcomes ADD COLUMN after_call_id VARCHAR;

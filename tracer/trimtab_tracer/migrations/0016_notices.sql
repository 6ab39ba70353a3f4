-- What somebody was told of by a webhook, or is to be told of. Only the sidecar writes it.
-- *_ns: nanoseconds since the Unix epoch, UTC.
CREATE TABLE notices (
    kind VARCHAR NOT NULL,              -- new_finding | rollback | budget_stop
    subject VARCHAR NOT NULL,           -- finding_id, or audit_id as text; '' in the row that says since when notices are sent
    noted_ns BIGINT NOT NULL,
    sent_ns BIGINT,                     -- NULL: not yet, or given up
    tries INTEGER NOT NULL DEFAULT 0,
    next_ns BIGINT,                     -- when it is tried (again); NULL: never, as it was there before, was sent, or was given up
    error VARCHAR,                      -- why the last try failed, without the address
    PRIMARY KEY (kind, subject)
);

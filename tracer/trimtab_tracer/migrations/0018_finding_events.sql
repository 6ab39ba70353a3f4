-- What became of findings: one row whenever one was opened, resolved or came back. *_ns: nanoseconds, UTC.
CREATE TABLE finding_events (
    finding_id VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,              -- of the analysis that said so
    event VARCHAR NOT NULL              -- opened | resolved | reopened
);

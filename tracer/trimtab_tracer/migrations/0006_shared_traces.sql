-- OpenTelemetry traces that several calls share tell which belong together (traces.py says how,
-- docs/decisions/0015-rebuilt-runs.md why). Calls from before this migration have none here.

ALTER TABLE call_places ADD COLUMN trace_id VARCHAR;    -- the one that was current when it was sent; NULL also in a wide one

CREATE INDEX call_places_of_trace ON call_places (trace_id);

-- Traces that more calls share than a run has: a worker's, not a task's.
CREATE TABLE wide_traces (trace_id VARCHAR PRIMARY KEY);

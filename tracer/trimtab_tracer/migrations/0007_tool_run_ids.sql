-- The id of the model's tool call that an observed execution answers, where the framework hands it to the tool. The
-- pairing of requests and executions prefers it to names, arguments and times.

ALTER TABLE tool_runs ADD COLUMN IF NOT EXISTS provider_id VARCHAR;

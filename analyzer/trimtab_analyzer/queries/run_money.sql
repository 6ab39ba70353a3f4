-- Where the money of each run went, as last kept.
-- Parameters: none.
-- One row per run, agent, class and pin; the columns are those of migration 0010.
SELECT run_id, agent, cls, knob, value, site_id, calls, attempts, cost_musd, unknown, input_tokens, output_tokens
FROM run_money

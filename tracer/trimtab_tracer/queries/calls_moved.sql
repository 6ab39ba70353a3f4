-- Give what belongs to calls the run that these are found to be in; tool calls are derived anew from what they summarise.
-- Parameters: relation batch_moves (call_id VARCHAR, old_run VARCHAR, new_run VARCHAR).
-- One row per tool execution that moved.
UPDATE attempts SET run_id = m.new_run FROM batch_moves AS m WHERE attempts.call_id = m.call_id AND attempts.run_id = m.old_run;

UPDATE calls SET run_id = m.new_run FROM batch_moves AS m WHERE calls.call_id = m.call_id AND calls.run_id = m.old_run;

UPDATE decisions SET run_id = m.new_run FROM batch_moves AS m WHERE decisions.call_id = m.call_id AND decisions.run_id = m.old_run;

UPDATE content SET run_id = m.new_run FROM batch_moves AS m WHERE content.call_id = m.call_id AND content.run_id = m.old_run;

UPDATE outcomes SET run_id = m.new_run FROM batch_moves AS m WHERE outcomes.after_call_id = m.call_id AND outcomes.run_id = m.old_run;

UPDATE spans SET run_id = m.new_run FROM batch_moves AS m WHERE spans.after_call_id = m.call_id AND spans.run_id = m.old_run;

UPDATE gen_ai_spans SET run_id = m.new_run FROM batch_moves AS m WHERE gen_ai_spans.call_id = m.call_id AND gen_ai_spans.run_id = m.old_run;

UPDATE tool_requests SET run_id = m.new_run FROM batch_moves AS m WHERE tool_requests.call_id = m.call_id AND tool_requests.run_id = m.old_run;

UPDATE tool_runs SET run_id = m.new_run FROM batch_moves AS m WHERE tool_runs.after_call_id = m.call_id AND tool_runs.run_id = m.old_run
RETURNING tool_run_id

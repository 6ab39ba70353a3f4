-- Give what belongs to calls the run that these are found to be in.
-- Parameters: relation batch_moves (call_id VARCHAR, old_run VARCHAR, new_run VARCHAR).
UPDATE attempts SET run_id = m.new_run FROM batch_moves AS m WHERE attempts.call_id = m.call_id AND attempts.run_id = m.old_run;

UPDATE calls SET run_id = m.new_run FROM batch_moves AS m WHERE calls.call_id = m.call_id AND calls.run_id = m.old_run;

UPDATE decisions SET run_id = m.new_run FROM batch_moves AS m WHERE decisions.call_id = m.call_id AND decisions.run_id = m.old_run;

UPDATE content SET run_id = m.new_run FROM batch_moves AS m WHERE content.call_id = m.call_id AND content.run_id = m.old_run;

UPDATE outcomes SET run_id = m.new_run FROM batch_moves AS m WHERE outcomes.after_call_id = m.call_id AND outcomes.run_id = m.old_run;

UPDATE spans SET run_id = m.new_run FROM batch_moves AS m WHERE spans.after_call_id = m.call_id AND spans.run_id = m.old_run;

UPDATE tool_calls SET run_id = m.new_run FROM batch_moves AS m WHERE tool_calls.call_id = m.call_id AND tool_calls.run_id = m.old_run;

UPDATE tool_calls
SET run_id = m.new_run
FROM batch_moves AS m
JOIN tool_runs AS t ON t.after_call_id = m.call_id
WHERE tool_calls.tool_run_id = t.tool_run_id AND tool_calls.call_id IS NULL AND tool_calls.run_id = m.old_run

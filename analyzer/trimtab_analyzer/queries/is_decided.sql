-- Whether there is a decision of some knobs for a call, and whether there is one for a whole run.
-- Parameters: $knobs VARCHAR[].
-- One row for each of the two that there is: level, call or run.
(
    SELECT 'call' AS level FROM decisions
    WHERE call_id IS NOT NULL AND knob IN (SELECT unnest($knobs::VARCHAR[])) LIMIT 1
)
UNION ALL
(
    SELECT 'run' AS level FROM decisions
    WHERE call_id IS NULL AND knob IN (SELECT unnest($knobs::VARCHAR[])) LIMIT 1
)

-- Whether there is a decision of some knobs.
-- Parameters: $knobs VARCHAR[].
-- One row, or none where there is none.
SELECT true AS found FROM decisions WHERE knob IN (SELECT unnest($knobs::VARCHAR[])) LIMIT 1

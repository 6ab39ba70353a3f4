-- Knobs that the agent's own code declared.
-- Parameters: none.
-- One row per knob that was ever decided so.
SELECT DISTINCT knob FROM decisions WHERE site_role = 'knob' ORDER BY knob

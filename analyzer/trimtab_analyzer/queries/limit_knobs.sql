-- Knobs that bound how often an agent may turn: frameworks call theirs as their parameter is called, users as they like.
-- Parameters: $like VARCHAR, a regular expression.
-- One row per knob that was ever decided.
SELECT DISTINCT knob FROM decisions WHERE regexp_matches(knob, $like) ORDER BY knob

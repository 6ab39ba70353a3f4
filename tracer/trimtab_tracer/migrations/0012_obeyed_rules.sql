-- Which rule of a policy a decision obeyed, and what that rule saw. NULL for what was recorded before, and where no policy
-- decided.

ALTER TABLE decisions ADD COLUMN rule_id VARCHAR;   -- of the policy `policy_version`; draws are by rule
ALTER TABLE decisions ADD COLUMN seen JSON;         -- what a rule with `when` looked at: the run so far (records.Choice)
ALTER TABLE decisions ADD COLUMN verdict VARCHAR;   -- of `escalate`: what was said of the first answer (records.Choice)

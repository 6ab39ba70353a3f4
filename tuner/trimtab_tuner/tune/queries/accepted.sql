-- Recommendations whose rule is in the policy, with when it came there.
-- One row each, oldest first: recommendation_id, knob, rule_id, version, to_value, match, since_ns
SELECT r.recommendation_id, r.knob, r.rule_id, r.version, r.to_value, r.match, v.issued_ns AS since_ns
FROM recommendations AS r
JOIN policy_versions AS v ON v.version = r.policy_version
WHERE r.status IN ('accepted', 'active', 'promoted')
ORDER BY v.issued_ns, r.recommendation_id

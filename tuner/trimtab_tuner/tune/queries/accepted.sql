-- Recommendations whose rule is in the policy, with when it came there.
-- One row each, oldest first: recommendation_id, knob, rule_id, version, to_value, match, since_ns
SELECT r.recommendation_id, r.knob, r.rule_id, r.version, r.to_value, r.match, coalesce(a.at_ns, v.issued_ns) AS since_ns
FROM recommendations AS r
JOIN policy_versions AS v ON v.version = r.policy_version
-- The last time it was taken in, also where that was by taking the policy back.
LEFT JOIN (
    SELECT subject_id, max(at_ns) AS at_ns FROM audit WHERE action = 'accept' AND subject_kind = 'recommendation' GROUP BY subject_id
) AS a ON a.subject_id = r.recommendation_id
WHERE r.status IN ('accepted', 'active', 'promoted')
ORDER BY since_ns, r.recommendation_id

-- Which accepted recommendations agents have obeyed: decisions of a person's rule for the same knob under a policy that
-- carries it, where site, service and model are those that the rule matches.
--
-- $since_ns BIGINT  the first acceptance; decisions lie in the store about as they were made, so what is older is skipped
--
-- One row per recommendation: recommendation_id, policy_version, obeyed_ns (the first such decision, ns since the epoch).
SELECT r.recommendation_id, r.policy_version, min(d.decided_ns) AS obeyed_ns
FROM recommendations AS r
JOIN decisions AS d ON d.knob = r.knob AND d.policy_version >= r.policy_version
LEFT JOIN calls AS c ON c.call_id = d.call_id
LEFT JOIN runs ON runs.run_id = d.run_id
WHERE r.status = 'accepted'
  AND d.source = 'human'
  AND d.decided_ns >= $since_ns
  -- A rule for the line of the call also holds where the knob is pinned to the line that made the client.
  AND ((r.match ->> 'site') IS NULL OR (r.match ->> 'site') IN (d.site_id, c.site_id))
  AND ((r.match ->> 'service') IS NULL OR (r.match ->> 'service') = runs.service)
  -- The store knows the model that was sent. Where that is what the rule changes, the one asked for is not known.
  AND ((r.match ->> 'model') IS NULL OR d.knob IN ('model', 'fallback') OR (r.match ->> 'model') = c.model)
GROUP BY r.recommendation_id, r.policy_version
ORDER BY r.recommendation_id

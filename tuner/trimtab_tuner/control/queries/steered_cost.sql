-- What calls cost whose spending a policy had a say in: list prices, attempts with a known cost.
--
-- $since_ns BIGINT    attempts that began at or after this time
-- $decided_ns BIGINT  decisions at or after this time: a call's are made when it begins, which may be long before its
--                     last attempt
-- $knobs VARCHAR[]    the knobs that move money
--
-- One row: cost_musd.
SELECT coalesce(sum(cost_musd), 0)::BIGINT AS cost_musd
FROM attempts
WHERE started_ns >= $since_ns
  AND call_id IN (
      SELECT call_id
      FROM decisions
      WHERE decided_ns >= $decided_ns
        AND policy_version IS NOT NULL
        AND source IN ('human', 'experiment')
        AND list_contains($knobs, knob)
  )

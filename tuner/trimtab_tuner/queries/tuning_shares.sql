-- Purpose: with which weights an experiment that is learned from was drawn, version by version, oldest first.
-- Parameters: $rule VARCHAR: its rule, for all runs that have no context of their own; $most BIGINT: the newest so many.
-- One row per version in which a weight differs from the version before: version, issued_ns nanoseconds; arms JSON of the rule, NULL
--   where the policy has no such rule (stopped, paused).
WITH found AS (
    SELECT
        version,
        issued_ns,
        list_filter(
            from_json(document -> '$.rules', '["JSON"]'), lambda rule: (rule ->> '$.rule_id') = $rule
        )[1] -> '$.arms' AS arms
    FROM policy_versions
),
changed AS (
    SELECT * FROM found
    QUALIFY arms IS DISTINCT FROM lag(arms) OVER (ORDER BY version)
),
newest AS (
    SELECT * FROM changed ORDER BY version DESC LIMIT $most
)
SELECT version, issued_ns, arms FROM newest ORDER BY version

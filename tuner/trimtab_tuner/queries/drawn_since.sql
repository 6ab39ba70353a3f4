-- Purpose: what experiments that are learned from drew since a time, for units that they have learned from.
-- Parameters: $since_ns BIGINT.
-- One row per experiment and arm (canonical JSON of its value, or `incumbent`): units, one run at one line each.
SELECT
    u.experiment_id,
    coalesce(d.drawn, d.value::VARCHAR) AS arm,
    count(DISTINCT (u.run_id, u.site_id)) AS units
FROM campaign_units AS u
JOIN experiments AS e USING (experiment_id)
JOIN decisions AS d ON d.run_id = u.run_id AND d.site_id = u.site_id AND d.rule_id = e.rule_id
WHERE u.learned_ns >= $since_ns
GROUP BY ALL
ORDER BY ALL

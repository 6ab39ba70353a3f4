-- Purpose: experiments whose weights are learned, running ones first, of each kind the newest first.
-- Parameters, NULL for "any": $experiment_id.
-- spent JSON: what other values than the code's cost, USD by hour since 1970.
-- One row per experiment, columns of campaigns but `state`, and of experiments: knob, match, arms, status, version, started_ns, started_by.
SELECT c.* EXCLUDE (state), c.state -> '$.spending.hours' AS spent, e.rule_id, e.knob, e.match, e.arms, e.status, e.version, e.started_ns, e.started_by
FROM campaigns AS c
JOIN experiments AS e USING (experiment_id)
WHERE $experiment_id IS NULL OR c.experiment_id = $experiment_id
ORDER BY e.status, e.started_ns DESC, c.experiment_id

-- What came of each run: the effective outcome.
-- Parameters: $run_ids VARCHAR[] or NULL for all runs.
-- One row per run, without those of processes whose calls are in runs of their own, unless something is left in the
-- process's run itself: a call or tool of no other run, an outcome, or an exception that none of those runs ended in.
--   success, score, source  of the outcome that counts (view effective_outcomes): explicit before evaluator before inferred,
--                           the latest of the same source; NULL where the run has none
--   rule, confidence        of an outcome that the analysis inferred (inferred_outcomes.sql); NULL for any other
--   failed                  that outcome says no; where no outcome says yes or no, an exception ended the run
SELECT
    r.run_id,
    r.status,
    e.success,
    e.score,
    e.source,
    e.rule,
    e.confidence,
    coalesce(NOT e.success, r.status = 'error', false) AS failed
FROM runs AS r
LEFT JOIN effective_outcomes AS e USING (run_id)
WHERE ($run_ids::VARCHAR[] IS NULL OR r.run_id IN (SELECT unnest($run_ids::VARCHAR[])))
  AND (
    $run_ids::VARCHAR[] IS NOT NULL
    OR r.is_split IS NOT true
    OR r.run_id IN (SELECT run_id FROM attempts UNION ALL SELECT run_id FROM tool_calls)
    OR e.run_id IS NOT NULL
    OR (r.status = 'error' AND r.run_id NOT IN (SELECT parent_run_id FROM runs WHERE origin = 'rebuilt' AND status = 'error'))
  )
ORDER BY r.started_ns, r.run_id

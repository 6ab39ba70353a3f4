-- Purpose: the calls that a report lists below their runs.
-- Parameters: $run_ids VARCHAR[].
-- One row per call, in the order of its run; number counts from 1. *_ns nanoseconds, cost_musd micro-USD (NULL unknown).
--   tools  names of the tools that its answer asked for, each with ` (failed)` where the result says so
WITH asked AS (
    SELECT call_id, list(name || CASE WHEN status = 'error' THEN ' (failed)' ELSE '' END ORDER BY tool_id) AS tools
    FROM tool_calls
    WHERE call_id IS NOT NULL
    GROUP BY call_id
)
SELECT
    c.call_id,
    c.run_id,
    row_number() OVER (PARTITION BY c.run_id ORDER BY c.started_ns, c.call_id) AS number,
    c.started_ns,
    c.ended_ns - c.started_ns AS duration_ns,
    coalesce(c.response_model, c.model) AS model,
    c.status,
    c.error_class,
    c.error_message,
    c.finish_reason,
    c.attempts,
    c.wait_ns,
    c.input_tokens,
    c.output_tokens,
    c.cost_musd,
    c.rejected_by_call_id IS NOT NULL AS is_rejected,
    c.rejection_text,
    c.site_id,
    coalesce(a.tools, []) AS tools
FROM calls AS c
LEFT JOIN asked AS a USING (call_id)
WHERE c.run_id IN (SELECT unnest($run_ids::VARCHAR[]))
ORDER BY c.run_id, number

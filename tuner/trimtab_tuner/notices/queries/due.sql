-- Notices that are to be sent now, with what they are about.
-- Parameters: $now_ns, $most BIGINT.
-- One row each: kind, subject, noted_ns, tries; of a finding rule, knob, value JSON, file, line, runs, failed_runs, wasted_musd; of a
--   decision action, subject_kind, subject_id and told, the sidecar's own sentence.
SELECT
    n.kind, n.subject, n.noted_ns, n.tries,
    f.rule, f.knob, f.value, s.file, s.line, f.runs, f.failed_runs, f.wasted_musd,
    a.action, a.subject_kind, a.subject_id, a.why AS told
FROM notices AS n
LEFT JOIN findings AS f ON n.kind = 'new_finding' AND f.finding_id = n.subject
LEFT JOIN sites AS s ON s.site_id = f.site_id
LEFT JOIN audit AS a ON n.kind <> 'new_finding' AND a.audit_id::VARCHAR = n.subject
WHERE n.next_ns <= $now_ns
ORDER BY n.noted_ns, n.kind, n.subject
LIMIT $most

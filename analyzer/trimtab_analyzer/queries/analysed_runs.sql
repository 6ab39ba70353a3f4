-- The runs whose sums are kept.
-- Parameters: none.
-- One row per run: its mark (queries/run_marks.sql), and why its time can't be split.
SELECT run_id, mark, untimed FROM analysed_runs

-- Where the time of each run went, as last kept.
-- Parameters: none.
-- One row per run, agent, state, class and pin; the columns are those of migration 0010.
SELECT run_id, agent, is_outermost, state, cls, knob, value, site_id, calls, ns, bound_ns FROM run_time

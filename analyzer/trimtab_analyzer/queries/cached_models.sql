-- Hosts and models that are known to read from a cache: at least one answer in the store did.
-- Parameters: none.
-- One row per host and model.
SELECT DISTINCT host, model FROM attempts WHERE cache_read_tokens > 0 AND model IS NOT NULL ORDER BY host, model

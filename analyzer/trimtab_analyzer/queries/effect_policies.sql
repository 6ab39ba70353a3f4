-- The policies that were ever in force.
-- Parameters: none.
-- One row per version: document is its JSON text.
SELECT version, document::VARCHAR AS document
FROM policy_versions
ORDER BY version

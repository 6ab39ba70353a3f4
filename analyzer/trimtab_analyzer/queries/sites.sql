-- The places in the user's code.
-- Parameters: none.
-- One row per site; line counts from 1; source is the statement's text, empty where it could not be read.
SELECT site_id, file, function, line, source, owner FROM sites ORDER BY site_id

-- The places in the user's code.
-- Parameters: none.
-- One row per site; line counts from 1; source is the statement's text, empty where it could not be read.
--   via  installed packages between the line and its requests, the outermost first; empty where none is known
SELECT site_id, file, function, line, source, owner, coalesce(via, []) AS via FROM sites ORDER BY site_id

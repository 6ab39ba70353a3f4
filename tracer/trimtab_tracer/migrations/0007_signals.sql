-- What only request and response together tell, kept when the exchange is built: contents may be off, or deleted by then.
-- NULL where there was nothing to say, and for what was recorded before.

ALTER TABLE attempts ADD COLUMN signals JSON;                   -- flags, counts and digests: signals.py says which
ALTER TABLE tool_requests ADD COLUMN schema_error VARCHAR;      -- how the arguments break the schema that was offered

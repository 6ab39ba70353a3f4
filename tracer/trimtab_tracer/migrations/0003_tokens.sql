-- What tokens were, beyond input and output: counts that have prices of their own, and the terms a request was served on.
-- All are NULL where the provider does not say, and for what was recorded before.

ALTER TABLE attempts ADD COLUMN cache_write_1h_tokens BIGINT;   -- within cache_write_tokens: kept for an hour
ALTER TABLE attempts ADD COLUMN input_audio_tokens BIGINT;      -- within input_tokens
ALTER TABLE attempts ADD COLUMN cache_audio_read_tokens BIGINT; -- within cache_read_tokens and input_audio_tokens
ALTER TABLE attempts ADD COLUMN output_audio_tokens BIGINT;     -- within output_tokens
ALTER TABLE attempts ADD COLUMN output_image_tokens BIGINT;     -- within output_tokens
ALTER TABLE attempts ADD COLUMN web_searches BIGINT;            -- by the provider, billed one by one
ALTER TABLE attempts ADD COLUMN service_tier VARCHAR;           -- that served the request, not the one asked for
ALTER TABLE attempts ADD COLUMN speed VARCHAR;                  -- fast | standard (Anthropic)
ALTER TABLE attempts ADD COLUMN inference_geo VARCHAR;          -- where the model ran (Anthropic)

-- Installed packages between the site's line and the request, the outermost first: where a loop around the SDK may be.
ALTER TABLE sites ADD COLUMN via VARCHAR[];

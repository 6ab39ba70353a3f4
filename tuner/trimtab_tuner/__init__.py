"""The sidecar: collects, analyses, serves the control API, and (from here on) tunes. Also the heavier commands."""

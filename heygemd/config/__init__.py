"""Settings: their schema, the files they are read from, job.toml."""

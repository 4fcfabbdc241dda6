"""Settings: the schema, the loader of config.toml, and what staff may set in job.toml."""

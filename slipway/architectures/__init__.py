"""Models as sizing sees them: read from a `config.json`, a GGUF header, or the shipped catalogue."""

"""Modules that the type checker reads, to see that the public API is typed as it is meant."""

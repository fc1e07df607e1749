"""Applications that use the package, each run by a test."""

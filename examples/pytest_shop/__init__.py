"""A small library that logs, and its tests."""

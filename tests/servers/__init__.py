"""Real servers that tests run against: one that misbehaves on demand, and a TCP proxy that does."""

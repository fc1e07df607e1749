"""Random kills of an application and of its collector, and the account afterwards."""

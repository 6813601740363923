"""Failover drills: the probe, what its records mean, budgets, verdicts, reports. Nothing but Python's standard library."""

"""Which method a build takes: chosen on hold-out good parts and synthetic anomalies."""

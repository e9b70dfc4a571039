"""A build's thresholds and its golden set."""

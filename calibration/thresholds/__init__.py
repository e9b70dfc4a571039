"""From scores of good parts to a threshold, and new thresholds for a finished bundle."""

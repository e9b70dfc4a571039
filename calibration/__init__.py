"""Thresholds and precision variants."""

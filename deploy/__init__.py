"""Deploying bundles to devices, and monitoring devices."""

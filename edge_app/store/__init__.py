"""The bundles on this device and what is written about them, durable at every step."""

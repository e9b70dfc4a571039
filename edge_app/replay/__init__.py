"""Two models over the parts that a device has kept: what would change, before anything does."""

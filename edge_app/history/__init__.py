"""What the device remembers: every finished part, every gap, and what of it was lost or deleted."""

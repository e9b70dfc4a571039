"""One archive that makes a device of a fresh machine."""

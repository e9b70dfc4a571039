"""What devices say of themselves, pointers to new bundles, and roll-outs."""

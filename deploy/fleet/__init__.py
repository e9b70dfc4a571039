"""The devices' states, pointers to new bundles, and roll-outs."""

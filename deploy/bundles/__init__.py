"""Signing keys, signatures, and the server that devices fetch bundles from."""

"""One order's way from a file to a bundle in use."""

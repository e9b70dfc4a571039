"""The good parts that a source shows: read to its end, told apart, and compared with the bundle."""

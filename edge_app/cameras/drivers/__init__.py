"""What runs inside the isolated child: one file per camera stack, bytes out, no numpy.

Each has `make_source(settings) -> RawSource` and imports its stack when it opens.
"""

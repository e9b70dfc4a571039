"""A `pycuda` on the stand-in of NVIDIA's driver; see `tests/support/fake_pycuda.py`."""

VERSION_TEXT = "stand-in"

"""A `pycuda` on the stand-in of NVIDIA's driver; see `pycuda_on_fake.py`."""

VERSION_TEXT = "stand-in"

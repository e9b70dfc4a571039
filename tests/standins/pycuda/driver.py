"""The part of `pycuda.driver` that the device uses."""

import ctypes

from support.fake_pycuda import pycuda_driver

globals().update(vars(pycuda_driver(ctypes.CDLL("libcuda.so.1"))))

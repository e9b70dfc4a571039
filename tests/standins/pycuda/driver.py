"""The part of `pycuda.driver` that the device uses."""

import ctypes

from pycuda_on_fake import pycuda_driver

globals().update(vars(pycuda_driver(ctypes.CDLL("libcuda.so.1"))))

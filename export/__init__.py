"""The training workstation: pictures of good parts in, an unsigned bundle out."""

import os

# Before numpy and torch load their libraries. Threads that wait by spinning make small matrices
# ten times slower where the machine does something else besides (a regional Gaussian of 38 crops:
# 7.6 s and 0.3 s); on a quiet one they gain nothing here. What is set already stays.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

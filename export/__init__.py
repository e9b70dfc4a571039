"""Training workstation: datasets, auto-labels, training, evaluation, ONNX, unsigned bundles."""

import os

# Before numpy and torch load their libraries. Threads that wait by spinning make small matrices on
# a machine that does something else besides ten times slower (a regional Gaussian of 38 crops: 7.6 s
# and 0.3 s); on a quiet one they gain nothing here. Whoever sets these keeps what is set.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

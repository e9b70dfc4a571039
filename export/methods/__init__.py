"""The field's methods on one edge contract: crops in, score and map out.

Each method trains a graph that the device runs without knowing which one it is. `protocol.py` is
the contract, `registry.py` the list.
"""

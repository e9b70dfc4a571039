"""Frame sources: one small file per camera family behind `protocol.py`."""

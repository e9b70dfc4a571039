"""Everything that runs on the device. Start reading at `edge_app/inspection/line.py`."""

__version__ = "0.1.0"

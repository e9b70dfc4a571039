"""Everything that runs on the device. Start reading at `edge_app/inspection/line.py`."""

__version__ = "0.2.0.dev0"

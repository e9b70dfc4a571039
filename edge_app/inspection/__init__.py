"""The path of one frame, from pixels to alarm events. Start reading at `line.py`."""

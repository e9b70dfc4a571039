"""The training pipeline: pictures in, bundle out. Start reading at `pipeline.py`."""

"""Geometry and drawing on arrays: oriented boxes, crops, registration, overlays. No IO but the calibration file."""

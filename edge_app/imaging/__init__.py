"""Geometry and drawing on arrays: oriented boxes, crops, registration, overlays."""

"""The `edge-calibrate` command."""

"""The `edge-app` command: one file for each group of sub-commands."""

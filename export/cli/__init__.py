"""The `edge-export` command: one file for each group of sub-commands."""

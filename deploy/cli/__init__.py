"""The `edge-deploy` command: one file for each group of sub-commands."""

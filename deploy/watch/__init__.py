"""Watching alerts from the workstation."""

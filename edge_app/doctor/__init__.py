"""`edge-app doctor`: what this machine has, and what it lacks for its configuration."""

"""`edge-app doctor`: what this machine has and lacks for its configuration."""

"""What runs while a line inspects: cameras put together, the inspection thread, health, systemd."""

"""The operating system underneath: clocks, logs, systemd, file ownership."""

"""The device's configuration: one TOML file, checked as a whole."""

"""A bundle measured on good and bad pictures, through the device's own path."""

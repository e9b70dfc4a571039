"""A bundle made ready to judge on this device, and what is done with it offline."""

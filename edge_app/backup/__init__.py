"""What makes a machine this device, in one file: taken with `backup`, put back with `restore`."""

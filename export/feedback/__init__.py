"""What people said of a device's parts, as a data set: fetched, checked, kept with its source."""

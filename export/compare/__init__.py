"""Several methods on one data set, measured side by side."""

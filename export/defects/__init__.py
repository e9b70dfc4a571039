"""Pictures of real defects: found, cut and labelled."""

"""Who changed what on this device, when and why: a chain of records that only grows."""

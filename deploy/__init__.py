"""Getting bundles to devices, and watching what devices say."""

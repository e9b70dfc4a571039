"""`edge-app agent`: takes bundles in, tries them, and has `edge-app run` switch to them."""

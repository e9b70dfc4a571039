"""`edge-app demo`: the whole product on a simulated line, scored against its ground truth."""

"""Setting a camera up: find, test, focus, record and calibrate it."""

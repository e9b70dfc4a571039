"""Setting a camera up: finding, trying, focusing, recording and calibrating it."""

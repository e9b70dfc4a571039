"""A camera's driver in a process of its own, which can be ended when a call does not return.

    camera.py (here) ── wire.py: messages, ring.py: pixels ── child.py (there) ── drivers/NAME.py

`raw.py`, `wire.py`, `ring.py`, `frame_ids.py`, `child.py` and all of `edge_app.cameras.drivers`
run in the child. They import the standard library and the driver's own package, nothing else:
where PyGObject belongs to the system's Python, the child runs under that one.
"""

"""Numbers of a build's options: `early_check` names all that are out of range at once."""

from __future__ import annotations

from edge_app.cli.parser import real, whole

ANY_WHOLE = whole(-(2**63), 2**63)
ANY_REAL = real(-1e9, 1e9)

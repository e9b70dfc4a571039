"""The error border of `edge-export`: whatever goes wrong is one sentence and an exit code."""

from __future__ import annotations

import errno
import io
import sys

from edge_app.errors import EdgeError
from edge_app.host.extras import sentence_for

NO, WRONG = 1, 2
"""Exit codes: the job was ended or could not go on; wrong use, wrong input or a machine's fault."""


def print_any_name() -> None:
    """Have names that the terminal's coding lacks printed as `\\xNN`, not end in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def told(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence for a person and the exit code; None: a defect, whose traceback helps."""
    if isinstance(error, EdgeError):
        return str(error), WRONG
    if isinstance(error, KeyboardInterrupt):
        return "stopped. The same command goes on after the last finished step.", NO
    if isinstance(error, ModuleNotFoundError):
        return sentence_for(error, "train"), WRONG
    if isinstance(error, OSError):
        return _os_sentence(error), WRONG
    if isinstance(error, MemoryError):
        return (
            "the memory is not enough. Close other programs, or use fewer or smaller pictures.",
            NO,
        )
    if isinstance(error, RuntimeError) and _is_of_a_gpu(error):
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return f"the GPU failed: {first}. Try again, or train with --device cpu.", NO
    return None


def _os_sentence(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full{where}. Make room; the same command then goes on after the last "
            "finished step."
        )
    if error.errno == errno.EROFS:
        return f"the disk is read-only{where}. Name a folder that can be written."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not do that{where}: {error.strerror}. Check the rights."
    return f"{error.strerror or error}{where}. Check that the file or folder is there and usable."


def _is_of_a_gpu(error: RuntimeError) -> bool:
    """Tell CUDA's errors by name and text; torch is not imported for it."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"OutOfMemoryError", "AcceleratorError"}) or "CUDA" in str(error)

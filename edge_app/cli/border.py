"""The error border of all four commands: whatever goes wrong is one sentence and an exit code.

Exit codes everywhere: 0 done; 1 the job's answer is no, or it was stopped or could not go on;
2 wrong use, wrong input, or a machine that does not let the command work.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper

from edge_app.errors import BrokerError, EdgeError
from edge_app.host.extras import sentence_for
from edge_app.host.logging_setup import mask_tracebacks
from edge_app.host.plain_text import one_line, write_line
from edge_app.secret_text import mask

NO, WRONG = 1, 2
"""Exit codes: the job was ended or could not go on; wrong use, wrong input or a machine's fault."""

STOPPED = "stopped."


def run_bordered(
    name: str,
    work: Callable[[], int],
    extra: str = "",
    stopped: str = STOPPED,
    resumes: str = "",
) -> int:
    """Return a command's exit code; what goes wrong is one sentence on stderr.

    Args:
        name: stands before the sentence, e.g. "edge-app run".
        extra: the optional dependencies whose modules the command imports; "" for none.
        stopped: what to say after Ctrl-C.
        resumes: as in `told`.
    """
    print_any_name()
    mask_tracebacks()
    try:
        code = int(work())
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # a reader such as `head` has had enough
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        sentence = told(error, extra, stopped, resumes)
        if sentence is None:
            raise
        lines = [one_line(line) for line in mask(sentence[0]).splitlines()]
        write_line(sys.stderr, f"{name}: " + "\n".join(lines))
        return sentence[1]


def told(
    error: BaseException, extra: str = "", stopped: str = STOPPED, resumes: str = ""
) -> tuple[str, int] | None:
    """Return the sentence for a person and the exit code; None: a defect, whose traceback helps.

    Args:
        extra: as in `run_bordered`.
        resumes: what the same command does after a full disk has room again; "" for nothing.
    """
    if isinstance(error, BrokerError):
        return str(error), NO  # nobody answers, or not now: the command itself was right
    if isinstance(error, EdgeError):
        return str(error), WRONG
    if isinstance(error, KeyboardInterrupt):
        return stopped, NO
    if isinstance(error, ModuleNotFoundError):
        return (sentence_for(error, extra), WRONG) if extra else None
    if isinstance(error, OSError):
        return _os_sentence(error, resumes), WRONG
    if isinstance(error, UnicodeError):
        return (
            f"a text cannot be read or written: {error}. Expected UTF-8 text: check the files that "
            "were named.",
            WRONG,
        )
    if isinstance(error, MemoryError):
        return (
            "the memory is not enough. Close other programs, or use fewer or smaller pictures.",
            NO,
        )
    if isinstance(error, RuntimeError) and _is_of_a_gpu(error):
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return f"the GPU failed: {first}. Try again, or use the CPU (--device cpu).", NO
    return None


def _os_sentence(error: OSError, resumes: str) -> str:
    where = f" ({os.fsdecode(error.filename)})" if _is_path(error.filename) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        then = f"; {resumes}" if resumes else " and run the command again"
        return f"the disk is full{where}. Make room{then}."
    if error.errno == errno.EROFS:
        return f"the disk is read-only{where}. Name a folder that can be written."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not do that{where}: {error.strerror}. Check the rights."
    if error.errno == errno.EISDIR:
        return f"that is a folder{where}. Expected a file: name one."
    if error.errno == errno.ENOTDIR:
        return f"a file is in the place of a folder{where}. Name a folder."
    if error.errno == errno.ENAMETOOLONG:
        return f"a name is too long for this disk{where}. Choose a shorter one."
    return f"{error.strerror or error}{where}. Check that the file or folder is there and usable."


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike) and bool(name)


def _is_of_a_gpu(error: RuntimeError) -> bool:
    """Tell CUDA's errors by name and text; torch is not imported for it."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"OutOfMemoryError", "AcceleratorError"}) or "CUDA" in str(error)


def print_any_name() -> None:
    """Let names of files be printed that are no UTF-8 or that the locale cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(ValueError):
                stream.reconfigure(errors="backslashreplace")

"""One table at the end of the GPU's tests: what ran, what came out, on which machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ready import NO_GPU, gpu_fact, pycuda_fact, system_facts, tensorrt_fact

FOLDER = "tests/gpu/"
WORDS = {"passed": "passed", "failed": "FAILED", "error": "FAILED", "skipped": "skipped"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table; nothing where none of these tests was asked for."""
    rows = [
        (_name(report), word, dict(report.user_properties).get("figure", ""))
        for outcome, word in WORDS.items()
        for report in terminalreporter.stats.get(outcome, [])
        if getattr(report, "nodeid", "").startswith(FOLDER)
    ]
    if not rows:
        return
    terminalreporter.section("on the GPU")
    if not gpu_fact()[1]:
        terminalreporter.write_line(NO_GPU)
        return
    for what, found, advice in (gpu_fact(), tensorrt_fact(), pycuda_fact(), *system_facts()):
        terminalreporter.write_line(f"{what:<9} {found or advice}")
    width = max(len(name) for name, _, _ in rows)
    for name, word, figure in rows:
        terminalreporter.write_line(f"{name:<{width}}  {word:<7}  {figure}")
    if any(word == "FAILED" for _, word, _ in rows):
        terminalreporter.write_line("Please send us all of this output, with the failures above.")


def _name(report: pytest.TestReport) -> str:
    """Return "scores are onnx runtimes [CUDA graph-1]" for test_scores_are_onnx_runtimes[...]."""
    name, _, parameters = report.nodeid.rpartition("::")[2].removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f" [{parameters}" if parameters else "")

"""`make test-often`: every test is in one share, and a share is repeated beside load."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.often import share_of

ROOT = Path(__file__).parents[1]


def test_every_test_is_in_one_share_whatever_its_parameters() -> None:
    """A test and its repetitions stay together; fifty shares of 5,000 tests are about equal."""
    names = [f"tests/test_{n % 90}.py::test_{n}" for n in range(5000)]
    shares = [share_of(name, 50) for name in names]
    assert shares == [share_of(f"{name}[a/b-7-50]", 50) for name in names]
    counts = Counter(shares)
    assert set(counts) == set(range(1, 51))
    assert max(counts.values()) < 2 * min(counts.values())


def collected(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_shares_of_a_file_make_up_the_file() -> None:
    """What the shares leave out of one another is nothing; --count repeats it."""
    file = "tests/test_coverage_floors.py"

    def names(*options: str) -> list[str]:
        lines = collected(file, "-p", "no:xdist", *options).stdout.splitlines()
        return [line for line in lines if "::" in line]

    every = names()
    shares = [names("--share", f"{k}/3") for k in (1, 2, 3)]
    assert sorted(name for share in shares for name in share) == sorted(every)
    assert len(names("--count", "4", "--share", "2/3")) == 4 * len(shares[1])


@pytest.mark.parametrize("share", ["0/50", "51/50", "3", "three/50"])
def test_what_is_no_share_is_refused(share: str) -> None:
    """Before anything runs, with what to give."""
    refused = collected("--share", share)
    assert refused.returncode != 0
    assert "is no share: give K/N" in refused.stderr


def test_load_ends_with_the_command_and_its_exit_code() -> None:
    """The command runs beside busy processes, its code is ours, and nothing is left."""
    script = (
        "import os, sys; p = os.getppid()\n"
        "print(open(f'/proc/{p}/task/{p}/children').read(), os.getpid())\n"
        "sys.exit(7)"
    )
    command = [sys.executable, "tools/beside_load.py", "2", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    *children, itself = done.stdout.split()
    busy = set(children) - {itself}
    assert len(busy) == 2
    assert not [pid for pid in busy if Path(f"/proc/{pid}").exists()]


def test_load_says_how_it_is_used() -> None:
    """Without a number and a command there is nothing to do."""
    command = [sys.executable, "tools/beside_load.py", "many", "true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "COMMAND" in done.stderr) == (2, True)

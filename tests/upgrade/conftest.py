"""Today's edge-app and the release that runs in the field, each ready to be started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from field_device import ENTRY, RELEASE_ENTRY, Code
from goes_on import REPOSITORY, Brokers
from support.needs import needing
from support.release_0_1_0 import unpack_release


@pytest.fixture(scope="session")
@needing("the extra demo")
def brokers() -> Iterator[Brokers]:
    """Brokers that need no Debian package, only the extra `demo`."""
    with Brokers() as found:
        yield found


@pytest.fixture(scope="session")
def today(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Code]:
    """The code of this checkout."""
    with Code(REPOSITORY, ENTRY, tmp_path_factory.mktemp("today")) as code:
        assert Path(code.file).is_relative_to(REPOSITORY)
        yield code


@pytest.fixture(scope="session")
@needing("the repository's history")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Code]:
    """The code of release 0.1.0, out of the repository's history."""
    root = unpack_release(tmp_path_factory.mktemp("release"))
    with Code(root, RELEASE_ENTRY, tmp_path_factory.mktemp("of-release")) as code:
        assert Path(code.file).is_relative_to(root)
        yield code

"""The lab of these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.functional.minicluster.mesh.istio.lab import Lab


@pytest.fixture
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """A mesh with istiod running; its directory is short, as unix sockets are in it."""
    directory: Path = tmp_path_factory.mktemp("l")
    async with Lab(directory) as lab:
        yield lab


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session

from __future__ import annotations

from pathlib import Path

import pytest

from meshlab.grading.registry import Registry, load_checks

CHECKS = Path(__file__).parent.parent.parent.parent / "checks"


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The default course's checks, loaded as the engine loads them."""
    return load_checks(CHECKS)

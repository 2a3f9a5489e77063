"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets beside the repository; its tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("SKIPPED LOUDLY: no ../shared/data beside the checkout")
    return SHARED

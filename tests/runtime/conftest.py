"""What the tests of operators share."""

from __future__ import annotations

import ctypes

import pytest

from tests.runtime.operators import build


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    """The kernels, and runtime_c/tests/ops_driver.c to call them one by one."""
    return ctypes.CDLL(str(build()))

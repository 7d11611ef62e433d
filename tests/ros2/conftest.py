"""What several tests of ROS 2 begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.dds_peer import enter_domain

from streamseg.ros2.dds import DdsMiddleware


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> Iterator[DdsMiddleware]:
    enter_domain(monkeypatch)
    middleware = DdsMiddleware()
    yield middleware
    middleware.close()

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.elsewhere import Keys, install_toys, make_keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Toy nodes that are installed, here and where `support.elsewhere.worker` is told of the folder."""
    folder = install_toys(tmp_path / "installed")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder

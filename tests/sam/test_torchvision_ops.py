from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from streamseg.sam.networks.torchvision_ops import ensure_torchvision, nms


def brute_force_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """By definition: walk from the best, keep what overlaps no kept box too much."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in kept:
            w = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            h = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            shared = max(w, 0) * max(h, 0)
            area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[i], boxes[j]))
            if shared / (area - shared) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_nms_is_the_brute_force_one(count, threshold):
    rng = np.random.default_rng(count)
    corners = rng.integers(0, 60, (count, 2))
    boxes = np.hstack([corners, corners + rng.integers(1, 40, (count, 2))]).astype(np.float32)
    scores = rng.permutation(count).astype(np.float32)
    expected = brute_force_nms(boxes.tolist(), scores.tolist(), threshold)
    assert nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).tolist() == expected
    # And through torchvision's own front door, compiled or declared here.
    ensure_torchvision()
    from torchvision.ops import nms as front_door

    assert front_door(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).tolist() == expected


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_torchvision_that_imports_is_left_alone(tmp_path):
    """A stand-in package: the torchvision here may be the one that needs help."""
    (tmp_path / "torchvision.py").write_text("import torch\nhealthy = True\n")
    found = run(f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        import streamseg.sam.networks.torchvision_ops as ops, torch
        print(ops.ensure_torchvision(), ops._library, hasattr(torch.ops.torchvision, "nms"))
    """)
    assert found == "False None False"


def test_other_failures_of_torchvision_pass_through(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::roi_align is odd')\n")
    found = run(f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        import streamseg.sam.networks.torchvision_ops as ops
        try:
            ops.ensure_torchvision()
        except RuntimeError as error:
            print(error, ops._library)
    """)
    assert found == "operator torchvision::roi_align is odd None"


def test_the_missing_operator_is_declared_when_its_absence_is_what_fails(tmp_path):
    """A stand-in package that fails as the real one does beside a CPU-only torch."""
    package = tmp_path / "torchvision"
    (package / "ops").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import torch\n"
        "@torch.library.register_fake('torchvision::nms')\n"
        "def _(dets, scores, iou_threshold): return dets\n"
    )
    (package / "ops" / "__init__.py").write_text("")
    (package / "ops" / "boxes.py").write_text("def _assert_has_ops(): raise RuntimeError('no ops')\n")
    found = run(f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        import streamseg.sam.networks.torchvision_ops as ops, torch
        print(ops.ensure_torchvision(), ops.ensure_torchvision())
        boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
        print(torch.ops.torchvision.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist())
    """)
    assert found.splitlines() == ["True True", "[1, 2]"]

"""A page in real Chromium, before a run on a camera that shows two disks, one of which moves."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support.camera import Camera, encoded
from support.command import Running, eventually, running

RATE = 8
WIDTH, HEIGHT = 320, 240
RADIUS = 34
RESTING_XY = (80, 180)
SECONDS = 240
PATIENCE_MS = 30_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def moving_xy(number: int) -> tuple[float, float]:
    """Where the moving disk is in a frame, pixels."""
    return 160 + 90 * float(np.sin(number / 150)), 70.0


def picture(number: int) -> np.ndarray:
    """(240, 320, 3) uint8 RGB."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([60 + x // 8, 70 + y // 6, np.full_like(x, 80)], 2).astype(np.uint8)
    cv2.circle(image, RESTING_XY, RADIUS, (40, 90, 220), -1, cv2.LINE_AA)
    cx, cy = moving_xy(number)
    cv2.circle(image, (round(cx), round(cy)), RADIUS, (230, 60, 40), -1, cv2.LINE_AA)
    return image


def camera() -> Camera:
    """A camera that shows them at its own pace."""
    pieces = encoded([number / RATE for number in range(RATE * SECONDS)], gop=RATE, picture=picture)
    return Camera(pieces, lambda number: number / RATE)


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(source: object, *words: object, port: int | None = None) -> Iterator[tuple[Running, str]]:
    """``streamseg serve``; gives the run and the address of its page."""
    port = port or free_port()
    with running("serve", source, *words, "--port", port) as run:
        assert eventually(lambda: _listens(port), 60), run.process.poll()
        yield run, f"http://127.0.0.1:{port}/"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        # Without its sandbox, which wants more rights than tests in a container have.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Eyes:
    """Somebody before a page; complains in the end of whatever the browser complained of.

    Args:
        context: of the browser.
        url: of the page.
        may_fail: what the browser may complain of.
    """

    def __init__(self, context: BrowserContext, url: str, may_fail: str = "Canvas2D: Multiple readback") -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self._may_fail = re.compile(may_fail)
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self._hear("error", str(error)))
        self.page.goto(url)

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not self._may_fail.search(text):
            self.complaints.append(text)

    def watch(self) -> None:
        """Wait for the first picture."""
        # Before there is a page at all, nothing veils it.
        expect(self.page.locator("#connection")).to_have_text(re.compile("live|connected"), timeout=PATIENCE_MS)
        expect(self.page.locator("#veil")).to_be_hidden(timeout=PATIENCE_MS)

    def frame(self) -> int:
        """The number of the frame on the screen."""
        return int(re.search(r"frame (\d+)", self.page.inner_text("#figures"))[1])  # type: ignore[index]

    def wait_for_frame(self, number: int) -> None:
        """Wait until a frame of a file is on the screen."""
        expect(self.page.locator("#figures")).to_have_text(re.compile(rf"^frame {number} "), timeout=PATIENCE_MS)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place of the frame on the screen."""
        box = self.page.locator("#stage").bounding_box()
        assert box is not None
        scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
        left = box["x"] + (box["width"] - WIDTH * scale) / 2
        top = box["y"] + (box["height"] - HEIGHT * scale) / 2
        return left + x * scale, top + y * scale

    def shift_click(self, x: float, y: float) -> None:
        """Say that a place of the frame is not the object."""
        self.page.keyboard.down("Shift")
        self.page.mouse.click(*self.place(x, y))
        self.page.keyboard.up("Shift")

    def color(self, x: float, y: float) -> tuple[int, int, int, int]:
        """Of what is drawn over the picture, at a place of the frame: RGBA."""
        box = self.page.locator("#stage").bounding_box()
        assert box is not None
        at_x, at_y = self.place(x, y)
        read = """([x, y]) => { const c = document.getElementById("overlay"); const r = c.width / c.clientWidth;
            return [...c.getContext("2d").getImageData(x * r, y * r, 1, 1).data]; }"""
        found = self.page.evaluate(read, [at_x - box["x"], at_y - box["y"]])
        return tuple(found)  # type: ignore[return-value]

    def rows(self) -> list[str]:
        """The objects in the list, by what they are called."""
        inputs = self.page.locator("#objects input")
        return [each.input_value() or str(each.get_attribute("placeholder")) for each in inputs.all()]

    def said(self, text: str) -> None:
        """Wait until the page says something."""
        expect(self.page.locator("#toasts")).to_contain_text(text, timeout=PATIENCE_MS)

    def counts(self, count: int) -> None:
        """Wait until there are so many objects."""
        expect(self.page.locator("#objects li")).to_have_count(count, timeout=PATIENCE_MS)


def token_file(folder: Path, token: str) -> Path:
    """A file with a token."""
    path = folder / "token"
    path.write_text(f"{token}\n")
    return path

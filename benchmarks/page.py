"""How quick the page is, and what it costs the run behind it, in real Chromium.

    python benchmarks/page.py [--clicks 20] [--seconds 20] [--json FILE]

A made clip is played as a live stream on loopback. Measured are: from a click on what moves in it to its outline on the
screen; frames a second and latency of the run without a page, with one that nobody looks at, with one viewer, and with
one on a slow line, and what that one sees; and from a click on a paused frame of a file to its outline. Everything runs
on this machine, the browser too, which takes its share of the cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from playwright.sync_api import Browser, Page, sync_playwright

RATE = 24
PERIOD = 144
WIDTH, HEIGHT = 640, 360
PATIENCE_MS = 60_000
SLOW_BYTES_S = 50_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def place(number: int) -> tuple[float, float]:
    """Where the thing is in a frame, pixels."""
    turn = 2 * np.pi * number / PERIOD
    return 320 + 200 * float(np.sin(turn)), 180 + 60 * float(np.cos(turn))


def pictures() -> list[np.ndarray]:
    """One period of a textured thing that goes round over textured ground."""
    ground = np.random.default_rng(1).integers(60, 160, (HEIGHT, WIDTH, 3), np.uint8)
    ground = cv2.GaussianBlur(ground, (21, 21), 6)
    found = []
    for number in range(PERIOD):
        image = ground.copy()
        x, y = (round(each) for each in place(number))
        cv2.circle(image, (x, y), 46, (225, 90, 40), -1, cv2.LINE_AA)
        cv2.circle(image, (x - 12, y - 10), 14, (250, 220, 120), -1, cv2.LINE_AA)
        found.append(image)
    return found


class _Sink:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def encoded(images: Sequence[np.ndarray], frames: int, kind: str) -> list[bytes]:
    """What a stream has to say for each frame."""
    sink, pieces = _Sink(), []
    with av.open(sink, "w", format=kind, options={"flush_packets": "1"}) as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE)}
        )
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(images[number % PERIOD], format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
            pieces.append(sink.data)
            sink.data = b""
    return pieces


@contextlib.contextmanager
def playing(pieces: Sequence[bytes]) -> Iterator[str]:
    """A camera that plays them at their pace, each connection from the beginning."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        began_s = time.monotonic()
        with contextlib.suppress(OSError), connection:
            for number, piece in enumerate(pieces):
                time.sleep(max(0.0, began_s + number / RATE - time.monotonic()))
                connection.sendall(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


class Run:
    """``streamseg`` with these words; its report, once it has been ended."""

    def __init__(self, *words: object) -> None:
        command = [sys.executable, "-m", "streamseg", *map(str, words)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.url = ""

    def wait_for_page(self) -> str:
        """Where its page is."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            found = re.search(r"page: (http\S+)", line)
            if found:
                threading.Thread(target=self._process.stderr.read, daemon=True).start()
                return found[1]
        raise SystemExit("there is no page")

    def end(self) -> dict[str, Any]:
        """End it; the report of ``--json``."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        self._process.wait()
        return dict(json.loads(output)) if output.strip() else {}


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place of the frame on the screen."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    left, top = box["x"] + (box["width"] - WIDTH * scale) / 2, box["y"] + (box["height"] - HEIGHT * scale) / 2
    return left + x * scale, top + y * scale


WATCH = """() => { window.outlineAt = 0; const c = document.getElementById("overlay");
  document.getElementById("stage").addEventListener("pointerup", () => { window.clickedAt = performance.now(); }, true);
  const list = document.getElementById("objects");
  new MutationObserver(() => { if (!window.outlineAt && list.children.length > window.hadRows) {
    requestAnimationFrame(() => { window.outlineAt = performance.now(); }); } }).observe(list, { childList: true });
  }"""


def click_to_outline_ms(page: Page, clicks: int, where: Any) -> list[float]:
    """From the click to the first frame on the screen that has its outline."""
    page.evaluate(WATCH)
    found = []
    for _ in range(clicks):
        page.evaluate(
            "() => { window.outlineAt = 0; window.hadRows = document.querySelectorAll('#objects li').length; }"
        )
        page.mouse.click(*on_screen(page, *where(page)))
        page.wait_for_selector("#objects li", timeout=PATIENCE_MS)
        deadline_s = time.monotonic() + 5
        while not page.evaluate("window.outlineAt") and time.monotonic() < deadline_s:
            time.sleep(0.02)
        found.append(float(page.evaluate("window.outlineAt - window.clickedAt")))
        page.locator("#objects .remove").first.click()
        page.wait_for_selector("#objects li", state="detached", timeout=PATIENCE_MS)
        time.sleep(0.3)
    return found


def moving(page: Page) -> tuple[float, float]:
    """Where the thing is in the picture that is on the screen."""
    found = re.search(r"frame (\d+)", page.inner_text("#figures"))
    return place(int(found[1]) if found else 0)


def opened(browser: Browser, url: str, *, slow: bool = False) -> Page:
    """The page, with a picture on it."""
    page = browser.new_page(viewport={"width": 1100, "height": 720})
    page.goto(url)
    if slow:
        line = page.context.new_cdp_session(page)
        line.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 100, "downloadThroughput": SLOW_BYTES_S, "uploadThroughput": SLOW_BYTES_S},
        )
    page.wait_for_selector("#veil", state="hidden", timeout=PATIENCE_MS)
    return page


def cost(
    url: str, seconds: float, browser: Browser | None, *, page: bool, box: str, slow: bool = False
) -> dict[str, Any]:
    """Frames a second and latency of a run, with and without a page and a viewer."""
    with tempfile.TemporaryDirectory() as folder:
        words: list[object] = ["run", url, f"--box={box}", "--live", "--no-overlay", "-o", f"{folder}/out", "--json"]
        run = Run(*words, *(["--page", "127.0.0.1:0"] if page else []))
        seen = ""
        if page:
            address = run.wait_for_page()
            viewer = None if browser is None else opened(browser, address, slow=slow)
            time.sleep(seconds)
            if viewer is not None:
                seen = viewer.inner_text("#figures")
                viewer.close()
        else:
            time.sleep(seconds + 8)
        report = run.end()
    latency = next((each for name, each in report["latency_ms"].items() if "end" in name), {})
    return {"fps": report["fps"], "latency_ms": latency, "dropped": report["dropped"], "seen": seen}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("expected Chromium: apt-get install chromium")
    images = pictures()
    figures: dict[str, Any] = {"load_before": os.getloadavg()[0], "cores": os.cpu_count()}
    x, y = place(0)
    box = f"{x - 46:.0f},{y - 46:.0f},{x + 46:.0f},{y + 46:.0f}"
    with playing(encoded(images, RATE * 400, "mpegts")) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        run = Run("serve", url, "--port", "0")
        page = opened(browser, run.wait_for_page())
        _tell(figures, "click_live_ms", click_to_outline_ms(page, args.clicks, moving))
        page.close()
        run.end()
        for name, settings in {
            "no_page": {"page": False},
            "page": {"page": True},
            "viewer": {"page": True, "browser": browser},
            "slow_viewer": {"page": True, "browser": browser, "slow": True},
        }.items():
            figures[name] = cost(url, args.seconds, settings.pop("browser", None), box=box, **settings)  # type: ignore[arg-type]
            print(name, figures[name], flush=True)
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            clip.write_bytes(b"".join(encoded(images, PERIOD, "matroska")))
            run = Run("serve", clip, "--port", "0")
            page = opened(browser, run.wait_for_page())
            time.sleep(3)
            _tell(figures, "click_paused_ms", click_to_outline_ms(page, args.clicks, lambda page: place(0)))
            run.end()
        browser.close()
    figures["load_after"] = os.getloadavg()[0]
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def _tell(figures: dict[str, Any], name: str, times_ms: list[float]) -> None:
    quantiles = statistics.quantiles(times_ms, n=20)
    figures[name] = {"p50": round(statistics.median(times_ms)), "p95": round(quantiles[-1]), "count": len(times_ms)}
    print(name, figures[name], flush=True)


if __name__ == "__main__":
    main()

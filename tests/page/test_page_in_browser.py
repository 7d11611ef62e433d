"""The page in real Chromium, before a run with the bundled model on a camera: everything that people do there."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from support.camera import Camera
from support.command import eventually, tracks
from support.media import write_video
from support.pages import (
    PATIENCE_MS,
    RESTING_XY,
    Eyes,
    camera,
    chromium,
    free_port,
    moving_xy,
    picture,
    serving,
    token_file,
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def disks() -> Iterator[Camera]:
    with camera() as found:
        yield found


@pytest.fixture(scope="module")
def url(browser: Browser, disks: Camera) -> Iterator[str]:
    """One run that most tests share; each leaves it without objects."""
    with serving(disks.url) as (run, address):
        yield address
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
        assert code == 130, errors
        assert "Traceback" not in errors


@pytest.fixture
def eyes(browser: Browser, url: str) -> Iterator[Eyes]:
    context = browser.new_context(viewport={"width": 1100, "height": 720})
    found = Eyes(context, url)
    found.watch()
    yield found
    for left in reversed(range(len(found.rows()))):
        found.page.locator("#objects .remove").first.click()
        found.counts(left)
    assert found.complaints == []
    context.close()


def test_point_correct_rename_remove_undo(eyes: Eyes) -> None:
    page = eyes.page
    expect(page.locator("#empty")).to_be_visible()
    page.mouse.click(*eyes.place(*moving_xy(eyes.frame())))
    eyes.counts(1)
    expect(page.locator("#objects .chip")).to_have_text("followed")
    # Its outline is on the screen, goes with it, and is nowhere else.
    assert eventually(lambda: eyes.color(*moving_xy(eyes.frame()))[3] > 0, 20)
    assert eyes.color(300, 220)[3] == 0
    page.mouse.click(*eyes.place(*moving_xy(eyes.frame())))
    expect(page.locator("#objects li")).to_have_attribute("aria-current", "true")
    expect(page.locator("#target")).to_contain_text("Correcting")
    page.mouse.click(*eyes.place(300, 220), button="right")
    eyes.said("corrected")
    page.locator("#objects input").fill("red disk")
    page.keyboard.press("Enter")
    eyes.said("renamed")
    assert eventually(lambda: eyes.rows() == ["red disk"], 20)
    page.locator("#objects input").fill("something")
    page.keyboard.press("Enter")
    assert eventually(lambda: eyes.rows() == ["something"], 20)
    page.keyboard.press("u")
    assert eventually(lambda: eyes.rows() == ["red disk"], 20)
    page.keyboard.press("Delete")
    eyes.counts(0)
    page.locator("#undo").click()
    eyes.said("undone")
    eyes.counts(1)
    assert eyes.rows() == ["red disk"]
    assert eventually(lambda: eyes.color(*moving_xy(eyes.frame()))[3] > 0, 20), "it was looked for and found"
    page.locator("#objects .hide").click()
    assert eventually(lambda: eyes.color(*moving_xy(eyes.frame()))[3] == 0, 20)


def test_what_a_click_means_is_shown_and_chosen_by_mouse_and_keys(eyes: Eyes) -> None:
    page = eyes.page
    panel, meanings = page.locator("#meanings"), page.locator("#meanings [role=radio]")
    page.mouse.click(*eyes.place(*RESTING_XY))
    eyes.counts(1)
    expect(panel).to_be_visible(timeout=PATIENCE_MS)
    count = meanings.count()
    assert 2 <= count <= 3
    assert all(each.evaluate("image => image.naturalWidth > 0") for each in page.locator("#meanings img").all())
    scores = [float(str(each.get_attribute("aria-label")).rpartition(" ")[2]) for each in meanings.all()]
    held = scores.index(max(scores))
    expect(meanings.nth(held)).to_have_attribute("aria-checked", "true")
    first, second = (number for number in (0, 1, 2) if number != held and number < 3)
    page.locator("#stage").focus()
    page.keyboard.press(str(first + 1))
    eyes.said("pointed anew")
    expect(meanings.nth(first)).to_have_attribute("aria-checked", "true")
    eyes.counts(1)
    if second < count:
        meanings.nth(second).click()
        expect(meanings.nth(second)).to_have_attribute("aria-checked", "true", timeout=PATIENCE_MS)
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.role") == "radio"
    page.locator("#stage").focus()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.mouse.click(*eyes.place(*moving_xy(eyes.frame())))
    eyes.counts(2)
    expect(panel).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#objects li").nth(1).locator(".remove").click()
    eyes.counts(1)
    expect(panel).to_be_hidden()


def test_a_box_by_dragging_and_what_is_refused(eyes: Eyes) -> None:
    page = eyes.page
    x, y = RESTING_XY
    eyes.shift_click(*RESTING_XY)
    eyes.said("Select an object first")
    page.mouse.move(*eyes.place(x - 40, y - 40))
    page.mouse.down()
    page.mouse.move(*eyes.place(x, y))
    page.mouse.move(*eyes.place(x + 40, y + 40))
    page.mouse.up()
    eyes.counts(1)
    assert eventually(lambda: eyes.color(*RESTING_XY)[3] > 0, 20)
    page.locator("#modes [data-mode=off]").click()
    page.mouse.click(*eyes.place(310, 10))
    eyes.said("corrected")


def test_all_of_it_by_keys(eyes: Eyes) -> None:
    """Nothing but the keyboard, from the moment the page is open."""
    page = eyes.page
    press = page.keyboard.press
    expect(page.locator("#stage")).to_be_focused()
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    press("b")
    for _ in range(19):
        press("ArrowDown")
    for _ in range(30):
        press("ArrowLeft")
    press("Enter")
    eyes.counts(1)
    press("]")
    expect(page.locator("#objects li")).to_have_attribute("aria-current", "true")
    press("ArrowRight")
    press("Shift+Enter")
    press("r")
    page.keyboard.type("by keys")
    press("Enter")
    assert eventually(lambda: eyes.rows() == ["by keys"], 20)
    expect(page.locator("#stage")).to_be_focused()
    press("h")
    expect(page.locator("#objects .hide")).to_have_attribute("aria-pressed", "true")
    press("Delete")
    eyes.counts(0)
    press("Control+z")
    eyes.counts(1)
    for _ in range(3):
        press("Tab")
    assert page.evaluate("document.activeElement !== document.body")


def test_two_viewers_see_the_same_and_hear_of_each_other(browser: Browser, eyes: Eyes, url: str) -> None:
    context = browser.new_context(viewport={"width": 800, "height": 1000}, color_scheme="dark")
    other = Eyes(context, url)
    other.watch()
    eyes.page.mouse.click(*eyes.place(*RESTING_XY))
    other.counts(1)
    other.said("Somebody else: object")
    other.page.mouse.click(*other.place(*RESTING_XY))
    other.shift_click(300, 10)
    eyes.said("corrected")
    eyes.page.locator("#undo").click()
    eyes.said("Somebody else has corrected object")
    other.page.locator("#undo").click()
    other.said("undone")
    assert other.complaints == []
    context.close()


@pytest.mark.slow
def test_everything(eyes: Eyes) -> None:
    eyes.page.locator("#everything").click()
    eyes.said("found in frame")
    # What was found is in the list with the next picture.
    assert eventually(lambda: bool(eyes.rows()), 20)
    eyes.page.locator("#undo").click()
    eyes.counts(0)


def test_nothing_serious_bars_the_way(browser: Browser, url: str) -> None:
    # The checks are put into the page, which its policy would forbid.
    for scheme in ("light", "dark"):
        context = browser.new_context(bypass_csp=True, color_scheme=scheme)  # type: ignore[arg-type]
        eyes = Eyes(context, url)
        eyes.watch()
        eyes.page.mouse.click(*eyes.place(*RESTING_XY))
        eyes.counts(1)
        expect(eyes.page.locator("#meanings")).to_be_visible(timeout=PATIENCE_MS)
        found = Axe().run(eyes.page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == [], found
        eyes.page.keyboard.press("?")
        found = Axe().run(eyes.page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == [], found
        eyes.page.keyboard.press("Escape")
        eyes.page.locator("#objects .remove").click()
        eyes.counts(0)
        context.close()


def test_a_page_comes_back_by_itself_and_knows_when_it_is_over(browser: Browser, disks: Camera, tmp_path: Path) -> None:
    port, token = free_port(), "a-token-of-this-test-0123"
    words = ("--page-token", token_file(tmp_path, token))
    context = browser.new_context()
    with serving(disks.url, *words, port=port) as (run, url):
        eyes = Eyes(context, url, may_fail="401|ERR_|WebSocket|Failed to load")
        expect(eyes.page.locator("h1")).to_have_text("Token")
        assert eyes.page.locator("canvas").count() == 0
        eyes.page.locator("#token").fill("a-wrong-token-0123456789")
        eyes.page.keyboard.press("Enter")
        expect(eyes.page.locator("h1")).to_have_text("Token")
        eyes.page.locator("#token").fill(token)
        eyes.page.keyboard.press("Enter")
        eyes.watch()
        assert eyes.page.url == url
        run.send(signal.SIGKILL)
        expect(eyes.page.locator("#connection")).to_contain_text("connection lost", timeout=PATIENCE_MS)
        expect(eyes.page.locator("#veil-text")).to_contain_text("tried again")
        run.process.wait()
    with serving(disks.url, *words, port=port) as (run, _):
        expect(eyes.page.locator("#connection")).to_have_text("live", timeout=PATIENCE_MS)
        eyes.watch()
        eyes.page.mouse.click(*eyes.place(*RESTING_XY))
        eyes.counts(1)
        run.send(signal.SIGINT)
        expect(eyes.page.locator("#veil-text")).to_contain_text("over", timeout=PATIENCE_MS)
        assert run.wait()[0] == 130
    assert eyes.complaints == []
    context.close()


@pytest.mark.slow
def test_several_cameras_have_a_tab_each(browser: Browser, disks: Camera) -> None:
    context = browser.new_context()
    with camera() as other, serving(disks.url, other.url) as (run, url):
        eyes = Eyes(context, url)
        eyes.watch()
        tabs = eyes.page.locator("#streams [role=tab]")
        expect(tabs).to_have_count(2)
        tabs.nth(1).click()
        expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
        eyes.watch()
        eyes.page.mouse.click(*eyes.place(*RESTING_XY))
        eyes.counts(1)
        tabs.nth(0).click()
        eyes.watch()
        eyes.counts(0)
        tabs.nth(1).click()
        eyes.counts(1)
        run.send(signal.SIGINT)
        assert run.wait()[0] == 130
    assert eyes.complaints == []
    context.close()


def test_a_file_is_pointed_at_followed_and_gone_to_and_fro_in(browser: Browser, tmp_path: Path) -> None:
    frames = 16
    clip = write_video(tmp_path / "clip.mp4", [picture(12 * number) for number in range(frames)])
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    with serving(clip, "-o", tmp_path / "out", "--no-overlay") as (run, url):
        eyes = Eyes(context, url)
        page = eyes.page
        eyes.watch()
        expect(page.locator("#clock")).not_to_contain_text("unpacked", timeout=PATIENCE_MS)
        page.mouse.click(*eyes.place(*moving_xy(0)))
        eyes.counts(1)
        meanings = page.locator("#meanings [role=radio]")
        expect(meanings.first).to_be_visible(timeout=PATIENCE_MS)
        held = page.locator("#meanings [aria-checked=true]")
        other = meanings.locator("xpath=self::*[@aria-checked='false']").first
        name = str(other.get_attribute("aria-label"))
        other.click()
        expect(held).to_have_attribute("aria-label", name, timeout=PATIENCE_MS)
        eyes.said("corrected")
        page.locator("#undo").click()
        eyes.said("undone")
        page.locator("#stage").focus()
        page.keyboard.press("f")
        eyes.wait_for_frame(frames - 1)
        assert eventually(lambda: eyes.color(*moving_xy(12 * (frames - 1)))[3] > 0, 20)
        expect(page.locator("#bands")).to_have_attribute("aria-label", re.compile("object 1: never lost"))
        page.keyboard.press(",")
        eyes.wait_for_frame(frames - 2)
        page.locator("#scrub").fill("10")
        eyes.wait_for_frame(10)
        assert eventually(lambda: eyes.color(*moving_xy(120))[3] > 0, 20)
        page.mouse.click(*eyes.place(*RESTING_XY))
        eyes.counts(2)
        page.locator("#export").click()
        eyes.said("Not all of it is followed yet: frame 11")
        page.locator("#follow").click()
        eyes.wait_for_frame(frames - 1)
        expect(page.locator("#follow")).to_have_text("Follow from here", timeout=PATIENCE_MS)
        page.locator("#undo").click()
        eyes.said("undone")
        expect(page.locator("#clock")).to_contain_text("follow again", timeout=PATIENCE_MS)
        page.locator("#follow").click()
        expect(page.locator("#clock")).not_to_contain_text("follow again", timeout=PATIENCE_MS)
        expect(page.locator("#follow")).to_have_text("Follow from here", timeout=PATIENCE_MS)
        expect(page.locator("#format option")).to_have_count(20)
        page.locator("#format").select_option("coco")
        page.locator("#export").click()
        eyes.said("as coco")
        assert (tmp_path / "out" / "coco" / "instances.json").exists()
        assert {line["id"] for line in tracks(tmp_path / "out")} == {1}
        page.locator("#scrub").fill("0")
        eyes.wait_for_frame(0)
        page.locator("#stage").focus()
        page.keyboard.press(" ")
        eyes.wait_for_frame(frames - 1)
        run.send(signal.SIGINT)
        expect(page.locator("#veil-text")).to_contain_text("closed where it was opened", timeout=PATIENCE_MS)
        assert run.wait()[0] == 130
    assert eyes.complaints == []
    context.close()

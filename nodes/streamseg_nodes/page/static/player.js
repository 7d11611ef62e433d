// A file: play, pause, step, scrub, follow; and the timeline, on which each object has a band of its states.

import { colorOf } from "./colors.js";

const ROW_PX = 14;
const MOST_ROWS = 8;
const NAME_PX = 0;

const find = (id) => document.getElementById(id);

export class PlayerBar {
  /** @param {{act: Function}} handlers act(what, frame, format) */
  constructor({ act }) {
    this.act = act;
    this.position = null;
    this.timeline = { bands: [], prompts: [] };
    this.dragging = false;
    find("play").onclick = () => this.toggle();
    find("back").onclick = () => this.step(-1);
    find("forward").onclick = () => this.step(1);
    find("follow").onclick = () => this.follow();
    find("export").onclick = () => act("export", null, find("format").value);
    const scrub = find("scrub");
    scrub.oninput = () => {
      this.dragging = true;
      act("seek", Number(scrub.value));
    };
    scrub.onchange = () => {
      this.dragging = false;
    };
    find("bands").onpointerdown = (event) => this.point(event);
    new ResizeObserver(() => this.draw()).observe(find("bands"));
  }

  show(visible) {
    find("player").hidden = !visible;
    // What was said of another file is not true of this one.
    this.position = null;
    this.timeline = { bands: [], prompts: [] };
  }

  get active() {
    return !find("player").hidden && this.position !== null;
  }

  hear(message) {
    if (message.type === "position") this.place(message);
    else if (message.type === "formats") this.offer(message.formats);
    else {
      this.timeline = message;
      this.draw();
    }
  }

  /** Formats to export in: each name with what it holds. What was chosen stays chosen. */
  offer(formats) {
    const select = find("format");
    const chosen = select.value;
    const [plain] = select.options;
    const others = Object.entries(formats).map(([name, holds]) => {
      const option = new Option(`and ${name}`, name);
      option.title = holds;
      return option;
    });
    select.replaceChildren(plain, ...others);
    select.value = chosen in formats ? chosen : "";
  }

  place(position) {
    this.position = position;
    const scrub = find("scrub");
    scrub.max = String(Math.max(0, position.frames - 1));
    if (!this.dragging) scrub.value = String(position.frame);
    const busy = position.mode !== "paused";
    find("play").textContent = busy ? "Pause" : "Play";
    find("follow").textContent = position.mode === "following" ? "Following…" : "Follow from here";
    find("follow").disabled = position.mode === "following" || position.mode === "exporting";
    find("export").disabled = find("format").disabled = busy;
    find("export").textContent = position.mode === "exporting" ? "Exporting…" : "Export";
    const time = (position.frame / position.fps).toFixed(2);
    const total = (Math.max(0, position.frames - 1) / position.fps).toFixed(2);
    const loading = position.expected && position.expected > position.frames ? `, ${Math.round((100 * position.frames) / position.expected)} % unpacked` : "";
    const stale = position.stale ? " · changed before this frame: follow again" : "";
    find("clock").textContent = `${time} / ${total} s${loading}${stale}${position.note ? ` · ${position.note}` : ""}`;
    scrub.setAttribute("aria-valuetext", `frame ${position.frame}, ${time} seconds`);
    this.draw();
  }

  toggle() {
    this.act(this.position?.mode === "paused" ? "play" : "pause");
  }

  step(by) {
    if (this.position) this.act("seek", Math.min(this.position.frames - 1, Math.max(0, this.position.frame + by)));
  }

  follow() {
    this.act("follow");
  }

  point(event) {
    const rect = find("bands").getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - rect.left) / rect.width));
    this.act("seek", Math.round(share * (this.count() - 1)));
  }

  count() {
    return Math.max(1, this.position?.expected ?? 0, this.position?.frames ?? 0);
  }

  draw() {
    const canvas = find("bands");
    const rows = Math.max(1, Math.min(MOST_ROWS, this.timeline.bands.length));
    const height = rows * ROW_PX + 4;
    if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const width = canvas.clientWidth - NAME_PX;
    const at = (frame) => NAME_PX + (frame / this.count()) * width;
    const style = getComputedStyle(canvas);
    context.fillStyle = style.getPropertyValue("--raised");
    context.fillRect(0, 0, canvas.clientWidth, height);
    this.timeline.bands.slice(0, MOST_ROWS).forEach((band, row) => this.drawBand(context, band, row * ROW_PX + 2, at));
    for (const [frame, id, what] of this.timeline.prompts) {
      const row = this.timeline.bands.findIndex((band) => band.id === id);
      if (row < 0 || row >= MOST_ROWS) continue;
      context.beginPath();
      context.arc(at(frame + 0.5), row * ROW_PX + 2 + ROW_PX / 2, 4, 0, 7);
      context.fillStyle = what === "remove" ? "#e5484d" : "#fff";
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "#1b2430";
      context.stroke();
    }
    if (this.position) {
      context.fillStyle = style.getPropertyValue("--text");
      context.fillRect(at(this.position.frame + 0.5) - 1, 0, 2, height);
    }
    canvas.setAttribute("aria-label", this.inWords());
  }

  drawBand(context, { id, runs }, top, at) {
    for (const [first, last, state] of runs) {
      const stale = state === state.toLowerCase();
      const name = state.toUpperCase();
      const [left, right] = [at(first), at(last + 1)];
      context.globalAlpha = stale ? 0.35 : 1;
      if (name === "LOST") {
        context.fillStyle = "#e5484d";
        context.fillRect(left, top + ROW_PX / 2 - 1.5, Math.max(1, right - left), 3);
      } else {
        context.fillStyle = colorOf(id, name === "UNCERTAIN" ? 0.5 : 1);
        context.fillRect(left, top + 2, Math.max(1, right - left), ROW_PX - 4);
      }
    }
    context.globalAlpha = 1;
  }

  inWords() {
    const words = this.timeline.bands.map(({ id, label, runs }) => {
      const lost = runs.filter(([, , state]) => state.toUpperCase() === "LOST").map(([first, last]) => `${first} to ${last}`);
      return `${label || `object ${id}`}: ${lost.length ? `lost in frames ${lost.join(", ")}` : "never lost"}`;
    });
    return words.length ? `What became of each object. ${words.join("; ")}` : "Nothing has been followed yet.";
  }
}

// The list of what is followed: a picture, a name that may be changed, a state with its reason, what can be done.

import { colorOf, STATES, titleOf } from "./colors.js";

const THUMB_EVERY_MS = 500;
const THUMB_PX = 88;

const EYE = '<path d="M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10z"/><circle cx="10" cy="10" r="2.4"/>';
const EYE_SHUT = '<path d="M3 8.5c1.6 2.4 4 4 7 4s5.4-1.6 7-4M10 12.5v3M5 11.5l-1.6 2M15 11.5l1.6 2"/>';
const BIN = '<path d="M4 6h12M8 6V4h4v2M6 6l.8 10h6.4L14 6M9 9v4.5M11 9v4.5"/>';

export class ObjectList {
  /** @param {{onSelect, onRename, onHide, onRemove}} handlers */
  constructor(element, handlers) {
    this.element = element;
    this.handlers = handlers;
    this.rows = new Map();
    this.thumbsAt = 0;
  }

  /** Bring the list up to date with a picture. */
  update(objects, { selected, hidden, pending }) {
    const there = new Set(objects.map((object) => object.id));
    for (const [id, row] of this.rows) {
      if (!there.has(id)) {
        if (row.element.contains(document.activeElement)) document.getElementById("stage").focus();
        row.element.remove();
        this.rows.delete(id);
      }
    }
    for (const object of objects) {
      const row = this.rows.get(object.id) ?? this.add(object.id);
      fill(row, object, selected === object.id, hidden.has(object.id), pending.has(object.id));
    }
  }

  drawThumbs(objects, bitmap, width) {
    const now = performance.now();
    if (!bitmap || now - this.thumbsAt < THUMB_EVERY_MS) return;
    this.thumbsAt = now;
    const ratio = bitmap.width / width;
    for (const object of objects) {
      const row = this.rows.get(object.id);
      if (row && object.box) drawThumb(row.canvas, bitmap, object.box.map((edge) => edge * ratio));
    }
  }

  rename(id) {
    const row = this.rows.get(id);
    row?.input.focus();
    row?.input.select();
  }

  add(id) {
    const element = document.createElement("li");
    element.dataset.id = id;
    element.innerHTML = `<button class="thumb" type="button"><canvas width="${THUMB_PX}" height="${THUMB_PX}"></canvas></button>
      <div class="name"><input type="text" maxlength="100" autocomplete="off" spellcheck="false"></div>
      <div class="actions"><button class="quiet hide" type="button" aria-pressed="false">${svg(EYE)}</button>
      <button class="quiet remove" type="button">${svg(BIN)}</button></div>
      <div class="state"><span class="chip"></span><span class="score"></span><span class="reason"></span></div>`;
    const find = (selector) => element.querySelector(selector);
    const row = {
      element,
      canvas: find("canvas"),
      thumb: find(".thumb"),
      input: find("input"),
      hide: find(".hide"),
      remove: find(".remove"),
      chip: find(".chip"),
      score: find(".score"),
      reason: find(".reason"),
      label: "",
    };
    row.thumb.style.borderColor = colorOf(id);
    row.thumb.onclick = () => this.handlers.onSelect(id);
    row.hide.onclick = () => this.handlers.onHide(id);
    row.remove.onclick = () => this.handlers.onRemove(id);
    row.input.onchange = () => {
      const label = row.input.value.trim();
      if (label && label !== row.label) this.handlers.onRename(id, label);
      else row.input.value = row.label;
    };
    row.input.onkeydown = (event) => {
      if (event.key === "Escape") row.input.value = row.label;
      if (event.key === "Enter" || event.key === "Escape") {
        event.stopPropagation();
        row.input.blur();
        document.getElementById("stage").focus();
      }
    };
    this.rows.set(id, row);
    // In order of their numbers, as they came.
    const next = [...this.rows].filter(([other]) => other > id).sort(([a], [b]) => a - b)[0];
    this.element.insertBefore(element, next ? next[1].element : null);
    return row;
  }
}

function fill(row, object, selected, hidden, pending) {
  const title = titleOf(object);
  if (selected) row.element.setAttribute("aria-current", "true");
  else row.element.removeAttribute("aria-current");
  row.element.classList.toggle("hidden", hidden);
  row.label = object.label;
  if (document.activeElement !== row.input && !pending) set(row.input, "value", object.label);
  set(row.input, "placeholder", `object ${object.id}`);
  attribute(row.input, "aria-label", `Name of object ${object.id}`);
  attribute(row.thumb, "aria-label", `Select ${title}`);
  attribute(row.hide, "aria-label", `${hidden ? "Show" : "Hide"} ${title}`);
  if (row.hide.getAttribute("aria-pressed") !== String(hidden)) {
    row.hide.setAttribute("aria-pressed", String(hidden));
    row.hide.innerHTML = svg(hidden ? EYE_SHUT : EYE);
  }
  attribute(row.remove, "aria-label", `Remove ${title}`);
  row.chip.dataset.state = object.state;
  set(row.chip, "textContent", STATES[object.state] ?? object.state);
  set(row.score, "textContent", object.state === "LOST" ? "" : `${Math.round(object.score * 100)} %`);
  // The score stands there already.
  set(row.reason, "textContent", object.reason.startsWith("score ") ? "" : object.reason);
  set(row.reason, "title", object.reason);
}

function drawThumb(canvas, bitmap, [x0, y0, x1, y1]) {
  const side = Math.max(x1 - x0, y1 - y0) * 1.25;
  const left = (x0 + x1 - side) / 2;
  const top = (y0 + y1 - side) / 2;
  const context = canvas.getContext("2d");
  context.fillStyle = "#0a0d11";
  context.fillRect(0, 0, THUMB_PX, THUMB_PX);
  context.drawImage(bitmap, left, top, side, side, 0, 0, THUMB_PX, THUMB_PX);
}

function svg(shapes) {
  return `<svg viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" aria-hidden="true">${shapes}</svg>`;
}

function set(element, property, value) {
  if (element[property] !== value) element[property] = value;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

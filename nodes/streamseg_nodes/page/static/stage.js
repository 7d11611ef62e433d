// The picture with its outlines, and where in it people point, with a mouse, a finger or keys.

import { colorOf, titleOf } from "./colors.js";

const DRAG_PX = 6;
const LONG_PRESS_MS = 550;
const STEP = 0.02;

export class Stage {
  /**
   * @param {HTMLElement} element
   * @param {{onClick: Function, onBox: Function}} handlers onClick({x, y}, {off, force, seen}), onBox([x0, y0, x1, y1], seen)
   */
  constructor(element, handlers) {
    this.element = element;
    this.handlers = handlers;
    this.pictureCanvas = element.querySelector("#picture");
    this.overlayCanvas = element.querySelector("#overlay");
    this.picture = null;
    this.bitmap = null;
    this.hidden = new Set();
    this.hideAll = false;
    this.selected = null;
    this.hovered = null;
    this.mode = "on";
    this.crosshair = null;
    this.drag = null;
    this.keyBox = null;
    this.marks = [];
    this.due = false;
    new ResizeObserver(() => this.redraw(true)).observe(element);
    this.listen();
  }

  /** Show a picture; resolves once it is drawn. */
  async show(picture) {
    const bitmap = await createImageBitmap(picture.jpeg);
    this.bitmap?.close();
    this.bitmap = bitmap;
    this.picture = picture;
    await this.redraw(true);
  }

  forget() {
    this.bitmap?.close();
    this.bitmap = null;
    this.picture = null;
    this.crosshair = null;
    this.redraw(true);
  }

  redraw(all = false) {
    this.allDue = this.allDue || all;
    this.drawn ??= new Promise((resolve) => {
      requestAnimationFrame(() => {
        this.drawn = null;
        if (this.allDue) this.drawPicture();
        this.allDue = false;
        this.drawOverlay();
        resolve();
      });
    });
    return this.drawn;
  }

  /** Where the picture lies on the stage, in CSS pixels, and its scale. */
  layout() {
    const { clientWidth, clientHeight } = this.element;
    if (!this.picture) return { left: 0, top: 0, scale: 1 };
    const { width, height } = this.picture;
    const scale = Math.min(clientWidth / width, clientHeight / height);
    return { left: (clientWidth - width * scale) / 2, top: (clientHeight - height * scale) / 2, scale };
  }

  /** A place on the stage in pixels of the frame, held inside it. */
  toFrame(clientX, clientY) {
    const rect = this.element.getBoundingClientRect();
    const { left, top, scale } = this.layout();
    const { width, height } = this.picture;
    const x = (clientX - rect.left - left) / scale;
    const y = (clientY - rect.top - top) / scale;
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    return { x: clamp(x, 0, width - 1), y: clamp(y, 0, height - 1), inside };
  }

  /** The object whose outline is there; null if none is. */
  objectAt({ x, y }) {
    if (!this.picture || this.hideAll) return null;
    const shown = this.picture.objects.filter((object) => !this.hidden.has(object.id) && object.outline.length);
    return shown.find((object) => contains(object.outline, x, y)) ?? null;
  }

  /** Mark a place until its answer has come. Returns how to take the mark away. */
  mark(place, off) {
    const mark = { ...place, off };
    this.marks.push(mark);
    this.redraw();
    return () => {
      this.marks = this.marks.filter((each) => each !== mark);
      this.redraw();
    };
  }

  drawPicture() {
    const context = prepared(this.pictureCanvas, this.element);
    if (!this.bitmap) return;
    const { left, top, scale } = this.layout();
    context.imageSmoothingQuality = "medium";
    context.drawImage(this.bitmap, left, top, this.picture.width * scale, this.picture.height * scale);
  }

  drawOverlay() {
    const context = prepared(this.overlayCanvas, this.element);
    if (!this.picture) return;
    const { left, top, scale } = this.layout();
    context.translate(left, top);
    context.lineJoin = "round";
    const shown = this.hideAll ? [] : this.picture.objects.filter((object) => !this.hidden.has(object.id));
    for (const object of shown) this.drawObject(context, object, scale);
    for (const object of shown) this.drawName(context, object, scale);
    for (const mark of this.marks) drawMark(context, mark, scale);
    const box = this.drag?.box ?? (this.keyBox && this.crosshair && boxOf(this.keyBox, this.crosshair));
    if (box) drawBox(context, box, scale);
    if (this.crosshair) drawCrosshair(context, this.crosshair, scale);
  }

  drawObject(context, object, scale) {
    if (!object.outline.length) return;
    const path = pathOf(object.outline, scale);
    const chosen = object.id === this.selected;
    const hovered = object.id === this.hovered;
    context.fillStyle = colorOf(object.id, chosen ? 0.34 : hovered ? 0.3 : 0.2);
    context.fill(path, "evenodd");
    context.setLineDash([]);
    context.strokeStyle = "rgb(0 0 0 / 55%)";
    context.lineWidth = chosen ? 5 : 3.5;
    context.stroke(path);
    context.setLineDash(object.state === "UNCERTAIN" ? [7, 5] : []);
    context.strokeStyle = chosen ? "#ffffff" : colorOf(object.id);
    context.lineWidth = chosen ? 2.6 : 1.8;
    context.stroke(path);
    if (chosen) {
      context.strokeStyle = colorOf(object.id);
      context.setLineDash([9, 6]);
      context.stroke(path);
    }
    context.setLineDash([]);
  }

  drawName(context, object, scale) {
    if (!object.box) return;
    const text = object.label ? `${object.id}  ${object.label}` : String(object.id);
    context.font = "600 12.5px system-ui, 'DejaVu Sans', sans-serif";
    const width = context.measureText(text).width + 14;
    const x = clamp(object.box[0] * scale, 2, Math.max(2, this.picture.width * scale - width - 2));
    const y = Math.max(2, object.box[1] * scale - 24);
    context.fillStyle = "rgb(12 16 22 / 82%)";
    context.beginPath();
    context.roundRect(x, y, width, 20, 6);
    context.fill();
    context.fillStyle = colorOf(object.id);
    context.beginPath();
    context.roundRect(x, y, 4, 20, [6, 0, 0, 6]);
    context.fill();
    context.fillStyle = "#fff";
    context.fillText(text, x + 9, y + 14.5);
  }

  listen() {
    const { element } = this;
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("pointerdown", (event) => this.press(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.release(event));
    element.addEventListener("pointercancel", () => this.letGo());
    element.addEventListener("pointerleave", () => this.hover(null));
  }

  press(event) {
    if (!this.picture || event.button === 1) return;
    const place = this.toFrame(event.clientX, event.clientY);
    if (!place.inside) return;
    this.crosshair = null;
    this.element.setPointerCapture(event.pointerId);
    const off = event.button === 2 || event.shiftKey || this.mode === "off";
    this.drag = { from: place, seen: this.picture.index, at: [event.clientX, event.clientY], off, force: event.ctrlKey || event.metaKey, box: null };
    if (event.pointerType === "touch") {
      this.drag.timer = setTimeout(() => {
        if (this.drag && !this.drag.box) this.drag.off = true;
        navigator.vibrate?.(20);
      }, LONG_PRESS_MS);
    }
  }

  move(event) {
    if (!this.picture) return;
    const place = this.toFrame(event.clientX, event.clientY);
    if (!this.drag) {
      this.hover(place.inside ? (this.objectAt(place)?.id ?? null) : null);
      return;
    }
    const [x, y] = this.drag.at;
    const far = Math.hypot(event.clientX - x, event.clientY - y) > DRAG_PX;
    if ((far || this.drag.box) && !this.drag.off) {
      clearTimeout(this.drag.timer);
      this.drag.box = boxOf(this.drag.from, place);
      this.redraw();
    }
  }

  release() {
    const drag = this.drag;
    this.letGo();
    if (!drag || !this.picture) return;
    if (drag.box && isBox(drag.box)) this.handlers.onBox(drag.box, this.picture.index);
    else if (this.mode !== "box") this.handlers.onClick(drag.from, drag);
  }

  letGo() {
    clearTimeout(this.drag?.timer);
    this.drag = null;
    this.redraw();
  }

  hover(id) {
    if (id === this.hovered) return;
    this.hovered = id;
    this.redraw();
  }

  // Keys.

  moveCrosshair(dx, dy, fine) {
    if (!this.picture) return;
    const { width, height } = this.picture;
    this.crosshair ??= { x: width / 2, y: height / 2 };
    const step = fine ? 1 : Math.max(1, STEP * Math.max(width, height));
    this.crosshair = {
      x: clamp(this.crosshair.x + dx * step, 0, width - 1),
      y: clamp(this.crosshair.y + dy * step, 0, height - 1),
    };
    this.redraw();
  }

  pressKey({ off, force }) {
    if (!this.crosshair) return this.moveCrosshair(0, 0, true);
    if (this.keyBox) {
      const box = boxOf(this.keyBox, this.crosshair);
      this.keyBox = null;
      this.redraw();
      if (isBox(box)) this.handlers.onBox(box, this.picture.index);
      return undefined;
    }
    return this.handlers.onClick({ ...this.crosshair, inside: true }, { off: off || this.mode === "off", force, seen: this.picture.index });
  }

  beginBox() {
    if (!this.crosshair) this.moveCrosshair(0, 0, true);
    this.keyBox = this.crosshair && { ...this.crosshair };
    this.redraw();
  }

  /** Let go of the box or the crosshair; whether there was one. */
  escape() {
    const had = Boolean(this.drag || this.keyBox || this.crosshair);
    if (this.keyBox || this.drag) this.keyBox = this.drag = null;
    else this.crosshair = null;
    this.redraw();
    return had;
  }

  describe(place) {
    const object = this.objectAt(place);
    return `${Math.round(place.x)}, ${Math.round(place.y)}${object ? `, on ${titleOf(object)}` : ""}`;
  }
}

function prepared(canvas, element) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(element.clientWidth * ratio);
  const height = Math.round(element.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, element.clientWidth, element.clientHeight);
  return context;
}

function pathOf(outline, scale) {
  const path = new Path2D();
  for (const line of outline) {
    for (let at = 0; at < line.length; at += 2) {
      const [x, y] = [(line[at] + 0.5) * scale, (line[at + 1] + 0.5) * scale];
      if (at === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
    path.closePath();
  }
  return path;
}

function contains(outline, x, y) {
  let inside = false;
  for (const line of outline) {
    for (let at = 0, before = line.length - 2; at < line.length; before = at, at += 2) {
      const [x0, y0, x1, y1] = [line[at] + 0.5, line[at + 1] + 0.5, line[before] + 0.5, line[before + 1] + 0.5];
      if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) inside = !inside;
    }
  }
  return inside;
}

function boxOf(a, b) {
  return [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
}

function isBox([x0, y0, x1, y1]) {
  return x1 - x0 >= 2 && y1 - y0 >= 2;
}

function drawBox(context, box, scale) {
  const [x0, y0, x1, y1] = box.map((edge) => edge * scale);
  context.fillStyle = "rgb(255 255 255 / 12%)";
  context.fillRect(x0, y0, x1 - x0, y1 - y0);
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 60%)";
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.lineWidth = 1.5;
  context.strokeStyle = "#fff";
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
}

function drawMark(context, { x, y, off }, scale) {
  context.beginPath();
  context.arc(x * scale, y * scale, 7, 0, 7);
  context.fillStyle = off ? "#e5484d" : "#2fa866";
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  context.moveTo(x * scale - 3.5, y * scale);
  context.lineTo(x * scale + 3.5, y * scale);
  if (!off) {
    context.moveTo(x * scale, y * scale - 3.5);
    context.lineTo(x * scale, y * scale + 3.5);
  }
  context.stroke();
}

function drawCrosshair(context, { x, y }, scale) {
  const [cx, cy] = [(x + 0.5) * scale, (y + 0.5) * scale];
  for (const [color, width] of [["rgb(0 0 0 / 70%)", 4], ["#fff", 1.6]]) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(cx + dx * 5, cy + dy * 5);
      context.lineTo(cx + dx * 18, cy + dy * 18);
    }
    context.stroke();
  }
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

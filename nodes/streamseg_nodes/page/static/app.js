// The page: brings together the connection, the stage, the list, and what people do.

import { titleOf } from "./colors.js";
import { Connection } from "./connection.js";
import { listenToKeys } from "./keys.js";
import { Meanings } from "./meanings.js";
import { ObjectList } from "./objects.js";
import { Stage } from "./stage.js";
import { toast } from "./toasts.js";
import { setUpTheme } from "./theme.js";
import { FigureLine } from "./figures.js";
import { PlayerBar } from "./player.js";
import { RunPanel } from "./run.js";

const find = (id) => document.getElementById(id);
const STALE_MS = 2500;

const state = {
  stream: "",
  streams: [],
  objects: [],
  done: [], // what this browser did, to be undone: {stream, ids, removes}
  last: null, // the object that was added last
  pending: new Set(), // objects whose new name is on its way
  sources: new Map(), // stream -> its last status
  kept: new Map(), // stream and kind -> its last position, its last timeline
  wasLost: false,
  shownAt: 0,
  showing: false,
  next: null,
};

const stage = new Stage(find("stage"), { onClick: click, onBox: box });
const list = new ObjectList(find("objects"), { onSelect: select, onRename: rename, onHide: hide, onRemove: remove });
const meanings = new Meanings(find("meanings"), { onChoose: choose });
const figures = new FigureLine(find("figures"));
const player = new PlayerBar({ act: (what, frame = null, format = "") => connection.send({ type: "act", stream: state.stream, do: what, frame, format }) });
const runPanel = new RunPanel();
const connection = new Connection({ onMessage: hear, onPicture: receive, onState: lost });

// Pictures.

function receive(picture) {
  state.next = picture;
  if (!state.showing) showNext();
}

async function showNext() {
  state.showing = true;
  while (state.next) {
    const picture = state.next;
    state.next = null;
    // Of a stream that is watched no longer a picture may still come.
    if (picture.stream === state.stream) {
      await stage.show(picture);
      state.objects = picture.objects;
      meanings.keep(picture.objects.map((object) => object.id));
      state.shownAt = performance.now();
      figures.add(picture);
      refresh();
      list.drawThumbs(picture.objects, stage.bitmap, picture.width);
    }
    connection.send({ type: "shown" });
  }
  state.showing = false;
}

function refresh() {
  if (stage.selected !== null && !state.objects.some((object) => object.id === stage.selected)) select(null);
  list.update(state.objects, { selected: stage.selected, hidden: stage.hidden, pending: state.pending });
  find("count").textContent = state.objects.length;
  find("empty").hidden = state.objects.length > 0;
  find("undo").disabled = !state.done.some((each) => each.stream === state.stream);
  sayTarget();
  veil();
}

function sayTarget() {
  const chosen = state.objects.find((object) => object.id === stage.selected);
  const target = find("target");
  const text = chosen
    ? `Correcting ${titleOf(chosen)}: a click adds to it, Shift click takes away. Esc lets go of it.`
    : stage.mode === "box" ? "Drag a box round something." : "A click adds an object; a click on an outline selects it.";
  if (target.textContent !== text) target.textContent = text;
}

function veil() {
  const source = state.sources.get(state.stream);
  const age = performance.now() - state.shownAt;
  let text = "";
  if (find("connection").dataset.state === "away") text = "The connection to the run is lost. It is tried again.";
  else if (find("connection").dataset.state === "over") text = state.over || "The run is over.";
  else if (source?.state === "lost" || source?.state === "reconnecting") {
    text = `The source is away${source.text ? `: ${source.text}` : ""}. It is tried again.`;
  } else if (source?.state === "ended") text = "This stream has come to its end.";
  else if (stage.picture && player.active) text = "";
  else if (!stage.picture) text = "Waiting for the first picture…";
  else if (age > STALE_MS) text = `No new picture for ${Math.round(age / 1000)} s.`;
  find("veil").hidden = !text;
  if (text && find("veil-text").textContent !== text) find("veil-text").textContent = text;
}

setInterval(veil, 500);

// What the server says.

function hear(message) {
  if (message.type === "hello") welcome(message);
  else if (["position", "timeline", "formats"].includes(message.type)) {
    if (message.stream === state.stream) player.hear(message);
    state.kept.set(`${message.stream} ${message.type}`, message);
  }
  else if (message.type === "status") {
    state.sources.set(message.stream, message);
    drawStreams();
    veil();
  } else if (message.type === "figures") runPanel.hear(message);
  else if (message.type === "event") toast(message.text, message.about);
  else if (message.type === "viewers") figures.viewers = message.count;
  else if (message.type === "over") {
    state.over = message.text;
    connectionState("over", "ended");
  }
}

function welcome(message) {
  state.streams = message.streams;
  if (!message.streams.some((each) => each.name === state.stream)) state.stream = message.streams[0]?.name ?? "";
  state.sources.clear();
  connection.send({ type: "watch", stream: state.stream });
  connectionState("live", isFile() ? "connected" : "live");
  if (state.wasLost) toast("Connected again.", "done");
  state.wasLost = false;
  state.shownAt = performance.now();
  state.done = [];
  drawStreams();
  showPlayer();
  refresh();
}

function isFile() {
  return Boolean(state.streams.find((each) => each.name === state.stream)?.player);
}

function showPlayer() {
  player.show(isFile());
  figures.live = !isFile();
  runPanel.watch(state.stream);
  for (const kind of ["formats", "timeline", "position"]) {
    const message = state.kept.get(`${state.stream} ${kind}`);
    if (isFile() && message) player.hear(message);
  }
}

function lost(what, waitMs) {
  state.wasLost = true;
  if (what === "over") connectionState("over", "ended");
  else connectionState("away", `connection lost, next try in ${(waitMs / 1000).toFixed(1)} s`);
  veil();
}

function connectionState(name, text) {
  const pill = find("connection");
  pill.dataset.state = name;
  if (pill.textContent !== text) pill.textContent = text;
}

function drawStreams() {
  const tabs = find("streams");
  tabs.replaceChildren(
    ...state.streams.map(({ name, title }) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.role = "tab";
      tab.textContent = title;
      tab.setAttribute("aria-selected", String(name === state.stream));
      tab.setAttribute("aria-controls", "stage");
      tab.dataset.state = state.sources.get(name)?.state ?? "";
      tab.onclick = () => watch(name);
      return tab;
    }),
  );
  document.title = state.streams.length ? `${state.streams.find((each) => each.name === state.stream)?.title} · streamseg` : "streamseg";
}

function watch(name) {
  if (name === state.stream) return;
  state.stream = name;
  state.objects = [];
  meanings.close();
  stage.hidden.clear();
  stage.forget();
  select(null);
  connection.send({ type: "watch", stream: name });
  state.shownAt = performance.now();
  drawStreams();
  showPlayer();
  refresh();
}

// What people do.

async function give(prompt, { place, off = false, seen = null, choosing = false } = {}) {
  if (!choosing) meanings.close();
  const unmark = place ? stage.mark(place, off) : () => {};
  const stream = state.stream;
  const answer = await connection.prompt(stream, prompt, seen);
  unmark();
  toast(sentence(answer.text), answer.applied ? "done" : "refused");
  if (!answer.applied) return null;
  const { what, id, ids } = answer.applied;
  if (isFile()) state.done.push({ stream, ids: [0], removes: false });
  else if (what === "found" && ids.length) state.done.push({ stream, ids, removes: true });
  else if (what !== "undone" && id !== null) state.done.push({ stream, ids: [id], removes: false });
  if (what === "added") state.last = id;
  if (what === "added" && stream === state.stream) meanings.show(answer.applied);
  refresh();
  return answer.applied;
}

function click(place, { off, force, seen }) {
  const at = [round(place.x), round(place.y)];
  const there = stage.objectAt(place);
  if (off) {
    const id = stage.selected ?? there?.id ?? (isThere(state.last) ? state.last : null);
    if (id === null) return toast("Select an object first: this says what does not belong to it.", "refused");
    select(id);
    return give({ id, negative: [at] }, { place, off: true, seen });
  }
  if (!force && there && there.id !== stage.selected) return select(there.id);
  if (stage.selected !== null) return give({ id: stage.selected, points: [at] }, { place, seen });
  return give({ points: [at], meanings: true }, { place, seen });
}

/** A frame of a file stands still, so the click is asked anew; in a live picture what was seen round it has moved on. */
function choose({ id, frame, meanings: found }, number) {
  if (isFile()) return give({ id, choice: number }, { choosing: true });
  return give({ id, box: found[number].box_xyxy.map(round) }, { choosing: true, seen: frame });
}

function box(corners, seen) {
  const prompt = { box: corners.map(round) };
  if (stage.selected !== null) prompt.id = stage.selected;
  const [x0, y0, x1, y1] = corners;
  return give(prompt, { place: { x: (x0 + x1) / 2, y: (y0 + y1) / 2 }, seen });
}

function select(id) {
  stage.selected = id;
  list.update(state.objects, { selected: id, hidden: stage.hidden, pending: state.pending });
  list.rows.get(id)?.element.scrollIntoView({ block: "nearest" });
  sayTarget();
  stage.redraw();
}

async function rename(id, label) {
  state.pending.add(id);
  await give({ id, label });
  state.pending.delete(id);
}

function hide(id) {
  if (stage.hidden.has(id)) stage.hidden.delete(id);
  else stage.hidden.add(id);
  refresh();
  stage.redraw();
}

function hideAll() {
  stage.hideAll = !stage.hideAll;
  find("hide-all").textContent = stage.hideAll ? "Show all" : "Hide all";
  find("hide-all").setAttribute("aria-pressed", String(stage.hideAll));
  stage.redraw();
}

function remove(id) {
  if (id === null) return toast("Select an object first.", "refused");
  return give({ id, remove: true });
}

function everything() {
  toast("Looking for everything…");
  return give({ everything: true });
}

async function undo() {
  const at = state.done.findLastIndex((each) => each.stream === state.stream);
  if (at < 0) return toast("There is nothing of yours to undo.");
  const [{ ids, removes }] = state.done.splice(at, 1);
  if (isFile()) {
    const answer = await connection.prompt(state.stream, { undo: true });
    return toast(sentence(answer.text), answer.applied ? "done" : "refused");
  }
  refresh();
  for (const id of ids) {
    const answer = await connection.prompt(state.stream, removes ? { id, remove: true } : { id, undo: true });
    if (!answer.applied || id === ids.at(-1)) toast(sentence(answer.text), answer.applied ? "done" : "refused");
  }
  return undefined;
}

function step(by) {
  const ids = state.objects.map((object) => object.id);
  if (!ids.length) return;
  const at = ids.indexOf(stage.selected);
  select(ids[(at < 0 ? (by > 0 ? 0 : ids.length - 1) : at + by + ids.length) % ids.length]);
}

function setMode(mode) {
  stage.mode = mode;
  for (const button of find("modes").children) {
    const chosen = button.dataset.mode === mode;
    button.setAttribute("aria-checked", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
  }
  sayTarget();
}

function escape() {
  if (meanings.open) meanings.close();
  else if (!stage.escape()) {
    select(null);
    setMode("on");
  }
}

function help() {
  find("help").showModal();
}

const isThere = (id) => state.objects.some((object) => object.id === id);
const round = (value) => Math.round(value * 10) / 10;
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

find("everything").onclick = everything;
find("undo").onclick = undo;
find("hide-all").onclick = hideAll;
find("help-button").onclick = help;
find("modes").onclick = (event) => event.target.dataset.mode && setMode(event.target.dataset.mode);
find("modes").onkeydown = (event) => {
  const modes = ["on", "off", "box"];
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  setMode(modes[(modes.indexOf(stage.mode) + by + modes.length) % modes.length]);
  find("modes").querySelector('[aria-checked="true"]').focus();
};
setUpTheme(find("theme"));
listenToKeys(stage, {
  everything,
  undo,
  escape,
  help,
  hideAll,
  step,
  choose: (number) => meanings.choose(number),
  hide: () => stage.selected !== null && hide(stage.selected),
  remove: () => remove(stage.selected),
  play: () => isFile() && player.toggle(),
  stepFrame: (by) => isFile() && player.step(by),
  follow: () => isFile() && player.follow(),
  rename: () => stage.selected !== null && list.rename(stage.selected),
});
find("stage").focus();

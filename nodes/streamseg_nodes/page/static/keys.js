// All that the mouse can do, by keys. They count while the picture has the focus, or nothing has.

import { announce } from "./toasts.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listenToKeys(stage, actions) {
  document.addEventListener("keydown", (event) => {
    const focus = document.activeElement;
    if (document.querySelector("dialog[open]") || (focus !== document.body && focus !== stage.element)) return;
    if (handle(stage, actions, event)) event.preventDefault();
  });
}

function handle(stage, actions, event) {
  const { key, altKey, shiftKey } = event;
  const control = event.ctrlKey || event.metaKey;
  if (key in ARROWS && !control) {
    stage.moveCrosshair(...ARROWS[key], altKey);
    if (stage.crosshair) announce(stage.describe(stage.crosshair));
    return true;
  }
  if (key === "Enter") {
    stage.pressKey({ off: shiftKey, force: control });
    return true;
  }
  if (control) {
    if (key.toLowerCase() !== "z") return false;
    actions.undo();
    return true;
  }
  const action = {
    " ": actions.play,
    ",": () => actions.stepFrame(-1),
    ".": () => actions.stepFrame(1),
    f: actions.follow,
    b: () => stage.beginBox(),
    e: actions.everything,
    u: actions.undo,
    r: actions.rename,
    h: shiftKey ? actions.hideAll : actions.hide,
    "[": () => actions.step(-1),
    "]": () => actions.step(1),
    delete: actions.remove,
    backspace: actions.remove,
    escape: actions.escape,
    "?": actions.help,
    1: () => actions.choose(0),
    2: () => actions.choose(1),
    3: () => actions.choose(2),
  }[key.toLowerCase()];
  if (!action) return false;
  action();
  return true;
}

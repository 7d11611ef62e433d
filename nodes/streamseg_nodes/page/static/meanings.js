// What the last click may mean, as small pictures to choose between; one is chosen by a click, by Tab and Enter, or by 1, 2, 3.

import { announce } from "./toasts.js";

const NAMES = ["The whole", "A part", "A smaller part"];

export class Meanings {
  /** @param {{onChoose: Function}} handlers onChoose(applied, number) -> Promise of what was applied, or of null */
  constructor(element, { onChoose }) {
    this.element = element;
    this.buttons = element.querySelector("div");
    this.onChoose = onChoose;
    this.applied = null;
    this.seen = false;
    this.busy = false;
    element.querySelector(".close").onclick = () => this.close();
    this.buttons.onkeydown = (event) => this.walk(event);
  }

  get open() {
    return this.applied !== null;
  }

  /** @param applied what the answer to a click says; more than one meaning is worth showing */
  show(applied) {
    if (applied.meanings.length < 2) return;
    this.applied = applied;
    const scores = applied.meanings.map((each) => each.score);
    this.chosen = scores.indexOf(Math.max(...scores));
    this.buttons.replaceChildren(...applied.meanings.map((meaning, number) => this.button(meaning, number)));
    this.element.hidden = false;
    this.mark();
    announce(`This click may mean ${scores.length} things. Keys 1 to ${scores.length} choose.`);
  }

  close() {
    if (this.element.contains(document.activeElement)) document.getElementById("stage").focus();
    this.applied = null;
    this.seen = false;
    this.element.hidden = true;
    this.buttons.replaceChildren();
  }

  /** Close once the object, which is on the screen some time after the answer, is there no longer. */
  keep(ids) {
    const there = this.open && ids.includes(this.applied.id);
    if (this.seen && !there) this.close();
    this.seen = there;
  }

  async choose(number) {
    const applied = this.applied;
    if (!applied || this.busy || number >= applied.meanings.length) return false;
    if (number === this.chosen) return true;
    this.busy = true;
    const done = await this.onChoose(applied, number);
    this.busy = false;
    if (done && this.applied === applied) {
      this.chosen = number;
      this.mark();
    }
    return true;
  }

  button(meaning, number) {
    const button = document.createElement("button");
    button.type = "button";
    button.role = "radio";
    button.title = `${NAMES[number]} (${number + 1})`;
    button.setAttribute("aria-label", `${NAMES[number]}, score ${meaning.score.toFixed(2)}`);
    const image = document.createElement("img");
    image.src = meaning.picture;
    image.alt = "";
    const key = document.createElement("kbd");
    key.textContent = String(number + 1);
    button.append(image, key);
    button.onclick = () => this.choose(number);
    return button;
  }

  mark() {
    [...this.buttons.children].forEach((button, number) => {
      button.setAttribute("aria-checked", String(number === this.chosen));
      button.tabIndex = number === this.chosen ? 0 : -1;
    });
  }

  walk(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const count = this.buttons.children.length;
    if (event.key === "Escape") this.close();
    else if (/^[1-3]$/.test(event.key)) this.choose(Number(event.key) - 1);
    else if (by) {
      const at = [...this.buttons.children].indexOf(document.activeElement);
      this.buttons.children[(at + by + count) % count].focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// Short sentences that come and go; and, for screen readers, where the crosshair is.

const SHOWN_MS = 4500;
const MOST = 3;

export function toast(text, about = "") {
  const toasts = document.getElementById("toasts");
  const element = document.createElement("div");
  element.className = "toast";
  element.dataset.about = about;
  element.textContent = text;
  toasts.append(element);
  while (toasts.children.length > MOST) toasts.firstChild.remove();
  setTimeout(() => element.remove(), about === "refused" ? 2 * SHOWN_MS : SHOWN_MS);
}

let timer = 0;

export function announce(text) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    document.getElementById("spoken").textContent = text;
  }, 150);
}

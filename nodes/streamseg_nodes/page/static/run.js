// How the run does: latency, frames a second and drops over the last two minutes, and how busy each node is.

const KEPT = 120;
const KINDS = [
  { key: "latency_ms", title: (value) => `${Math.round(value)} ms late` },
  { key: "fps", title: (value) => `${value.toFixed(1)} frames/s` },
  { key: "drops", title: (value) => `${value} dropped` },
];

const find = (id) => document.getElementById(id);

export class RunPanel {
  constructor() {
    this.history = new Map();
    this.stream = "";
    this.graphs = KINDS.map(() => {
      const figure = document.createElement("figure");
      figure.append(document.createElement("canvas"), document.createElement("figcaption"));
      find("graphs").append(figure);
      return figure;
    });
    find("run").ontoggle = () => this.draw();
  }

  hear({ sources, nodes }) {
    for (const [name, source] of Object.entries(sources)) {
      const kept = this.history.get(name) ?? [];
      const before = kept.at(-1)?.dropped ?? source.dropped;
      kept.push({ ...source, drops: Math.max(0, source.dropped - before) });
      if (kept.length > KEPT) kept.shift();
      this.history.set(name, kept);
    }
    this.nodes = nodes;
    this.draw();
  }

  watch(stream) {
    this.stream = stream;
    this.draw();
  }

  draw() {
    const kept = this.history.get(this.stream) ?? [];
    const now = kept.at(-1);
    find("run").hidden = !now;
    if (!now) return;
    find("run-line").textContent = `${now.fps.toFixed(0)} frames/s, ${Math.round(now.latency_ms)} ms, ${now.dropped} dropped`;
    if (!find("run").open) return;
    KINDS.forEach(({ key, title }, at) => {
      const values = kept.map((each) => each[key] ?? 0);
      const text = title(key === "drops" ? now.dropped : values.at(-1));
      const [canvas, caption] = this.graphs[at].children;
      caption.textContent = text;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${text}; over the last two minutes at most ${Math.round(Math.max(...values))}`);
      drawLine(canvas, values);
    });
    find("loads").replaceChildren(...(this.nodes ?? []).map(loadRow));
  }
}

function drawLine(canvas, values) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const most = Math.max(...values, 1e-9) * 1.1;
  const at = (index) => [((index + KEPT - values.length) / (KEPT - 1)) * width, height - 2 - (values[index] / most) * (height - 6)];
  context.beginPath();
  values.forEach((_, index) => context.lineTo(...at(index)));
  context.strokeStyle = getComputedStyle(canvas).getPropertyValue("--accent");
  context.lineWidth = 1.5;
  context.stroke();
}

function loadRow({ name, load, ms }) {
  const row = document.createElement("li");
  const [title, track, fill, value] = ["span", "div", "div", "b"].map((tag) => document.createElement(tag));
  title.textContent = name;
  track.className = "track";
  fill.className = "fill";
  fill.style.width = `${Math.round(load * 100)}%`;
  track.append(fill);
  value.textContent = `${Math.round(load * 100)} %`;
  row.title = ms ? `${ms.toFixed(1)} ms a frame` : "";
  row.append(title, track, value);
  return row;
}

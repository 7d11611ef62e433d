// What the line below the picture says: frame, time, age, pictures a second.

const WINDOW_MS = 3000;

export class FigureLine {
  constructor(element) {
    this.element = element;
    this.viewers = 1;
    this.live = true;
    this.times = [];
    this.saidAt = 0;
  }

  add(picture) {
    const now = performance.now();
    this.times.push(now);
    while (now - this.times[0] > WINDOW_MS) this.times.shift();
    // Of a file there may be no other picture for long.
    if (this.live && now - this.saidAt < 250) return;
    this.saidAt = now;
    const span = now - this.times[0];
    const rate = span > 0 ? ((this.times.length - 1) * 1000) / span : 0;
    const parts = [
      `frame ${picture.index}`,
      picture.pts_s === null ? "" : `${picture.pts_s.toFixed(2)} s`,
      `${picture.width} × ${picture.height}`,
      `${rate.toFixed(0)} pictures/s`,
      this.live ? `${Math.round(picture.age_ms)} ms old when sent` : "",
      this.viewers > 1 ? `${this.viewers} viewers` : "",
    ];
    this.element.textContent = parts.filter(Boolean).join("   ·   ");
  }
}

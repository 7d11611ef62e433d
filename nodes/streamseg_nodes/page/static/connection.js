// The line to the server: messages out and in, pictures in. Comes back by itself.

const SOONEST_MS = 400;
const LATEST_MS = 4000;

export class Connection {
  /** @param {{onMessage: Function, onPicture: Function, onState: Function}} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.waitMs = SOONEST_MS;
    this.over = false;
    this.number = 0;
    this.waiting = new Map();
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.waitMs = SOONEST_MS;
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") this.hear(JSON.parse(event.data));
      else this.handlers.onPicture(decodePicture(event.data));
    };
    socket.onclose = () => this.lost();
  }

  hear(message) {
    if (message.type === "over") this.over = true;
    if (message.type === "hello") this.over = false;
    if (message.type === "answer" && this.waiting.has(message.number)) {
      const done = this.waiting.get(message.number);
      this.waiting.delete(message.number);
      done(message);
    }
    this.handlers.onMessage(message);
  }

  lost() {
    for (const done of this.waiting.values()) {
      done({ applied: null, text: "The connection was lost; whether it came into force shows in the list." });
    }
    this.waiting.clear();
    const waitMs = this.over ? LATEST_MS : this.waitMs;
    this.handlers.onState(this.over ? "over" : "away", waitMs);
    this.waitMs = Math.min(LATEST_MS, this.waitMs * 1.6);
    setTimeout(() => this.again(), waitMs);
  }

  async again() {
    // A websocket does not tell why it was refused; this does.
    try {
      const answer = await fetch("/health", { cache: "no-store" });
      if (answer.status === 401) return location.reload();
    } catch {
      return this.lost();
    }
    return this.connect();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Give a prompt; the promise has the answer, whatever it is. */
  prompt(stream, prompt, seen = null) {
    this.number += 1;
    const number = this.number;
    if (this.socket.readyState !== WebSocket.OPEN) {
      return Promise.resolve({ applied: null, text: "There is no connection to the run; it is tried again." });
    }
    return new Promise((resolve) => {
      this.waiting.set(number, resolve);
      this.send({ type: "prompt", number, stream, prompt, seen });
    });
  }
}

/** A message of `pictures.encode`: the length of the header, the header, a JPEG. */
function decodePicture(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { ...header, jpeg: new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }) };
}

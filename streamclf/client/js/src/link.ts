// One websocket: what it brings waits here until somebody takes it.
//
// A browser reads a websocket whether anybody takes the messages or not. So what waits is bounded, and beyond that the
// connection is closed: what was not taken is asked for again with `since`, from the daemon, which declares what it
// no longer holds. What came before an end is taken first.

import { Lost, StreamclfError } from "./errors.js";

/** What is needed of a WebSocket: those of browsers, of Node and of the package `ws` have it. */
export interface Socket {
  binaryType: string;
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}
export type SocketMaker = new (url: string, protocols: string[]) => Socket;

const MOST_WAITING = 4096; // messages; policy: see the top; counter: none, the daemon declares what is lost
const OPEN_LIMIT_MS = 10_000;
const CHECK_MS = 1_000;
const CHECKS = 10; // at least, in the time that may pass without a message
const OPEN = 1;
const NO_CLOSE = 1006;
const GOOD_BYE = [1000, 1001];

/** order: what to subscribe with, at this moment; sent at the beginning, and again after a silence. */
export interface Destination {
  url: string;
  target: [address: string, protocols: string[]];
  order(): string;
  silentMs: number;
  signal: AbortSignal;
}

export class Link {
  /** Answers to our asking for a sign of life that are still to come. */
  asked = 0;
  private readonly socket: Socket;
  private readonly waiting: (string | ArrayBuffer)[] = [];
  private taker: { resolve(data: string | ArrayBuffer): void; reject(fault: unknown): void } | null = null;
  private ended: { fault: unknown } | null = null;
  private heardAtMs = Date.now();
  private askedAtMs: number | null = null;
  private said = "";
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    Maker: SocketMaker,
    private readonly to: Destination,
  ) {
    this.socket = new Maker(...to.target);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(to.order());
    this.socket.onmessage = (event) => this.bring(event.data);
    this.socket.onerror = (event) => {
      this.said = typeof event.message === "string" ? event.message : "";
      // what was never open is not always closed: Node's tells of an error alone
      setTimeout(() => this.end(this.whyClosed({ code: NO_CLOSE, reason: "" })));
    };
    this.socket.onclose = (event) => this.end(this.whyClosed(event));
    this.timer = setInterval(() => this.check(), Math.min(CHECK_MS, to.silentMs / CHECKS));
    to.signal.addEventListener("abort", this.leave);
  }

  /** The next message. Throws `Lost` when there comes none any more. */
  take(): Promise<string | ArrayBuffer> {
    const data = this.waiting.shift();
    if (data !== undefined) return Promise.resolve(data);
    if (this.ended) return Promise.reject(this.ended.fault);
    return new Promise((resolve, reject) => (this.taker = { resolve, reject }));
  }

  /** Close the connection. What still waits is thrown away. */
  close(): void {
    this.end(new Lost("closed here"));
    this.waiting.length = 0;
    this.to.signal.removeEventListener("abort", this.leave);
  }

  private readonly leave = (): void => {
    this.waiting.length = 0;
    this.end(this.to.signal.reason);
  };

  private bring(data: unknown): void {
    this.heardAtMs = Date.now();
    this.askedAtMs = null;
    if (typeof data !== "string" && !(data instanceof ArrayBuffer)) {
      this.end(new StreamclfError("this WebSocket does not give an ArrayBuffer for binary messages"));
    } else if (this.taker) {
      const { resolve } = this.taker;
      this.taker = null;
      resolve(data);
    } else if (this.waiting.push(data) >= MOST_WAITING) {
      this.end(new Lost(`${MOST_WAITING} messages of ${this.to.url} wait to be taken; the rest is asked for again then`));
    }
  }

  private end(fault: unknown): void {
    if (this.ended) return;
    this.ended = { fault };
    clearInterval(this.timer);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.onerror = () => {}; // `ws` throws what nobody hears
    this.socket.close();
    this.taker?.reject(fault);
    this.taker = null;
  }

  private check(): void {
    const nowMs = Date.now();
    if (this.socket.readyState !== OPEN) {
      if (nowMs - this.heardAtMs > OPEN_LIMIT_MS) this.end(new Lost(`${this.to.url} did not answer`));
    } else if (this.askedAtMs !== null) {
      if (nowMs - this.askedAtMs > this.to.silentMs) this.end(new Lost(`${this.to.url} has fallen silent`));
    } else if (nowMs - this.heardAtMs > this.to.silentMs && this.taker) {
      // only where all that came was taken: the order names the place reached
      this.askedAtMs = nowMs;
      this.asked++;
      this.socket.send(this.to.order());
    }
  }

  private whyClosed(event: { code: number; reason: string }): Lost {
    if (event.code === NO_CLOSE) return new Lost(`no connection to ${this.to.url}${this.hint()}`);
    const why = event.reason || `code ${event.code}`;
    return new Lost(`${this.to.url} closed the connection: ${why}`, GOOD_BYE.includes(event.code));
  }

  /** A browser never says why there is no connection. */
  private hint(): string {
    const said = this.said ? ` (${this.said})` : "";
    const origin = globalThis.location?.origin;
    const page = origin ? `, and does it let pages of ${origin} in (server.origins), and this token?` : "?";
    return `${said}; is \`streamclf run\` up there${page}`;
  }
}

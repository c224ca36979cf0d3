// Sends samples to a `push` stream over a websocket of its own. What cannot be sent now is counted and never sent later:
// its numbers are missing, and the daemon tells a gap.

import { decodeText } from "./protocol";
import { openSocket } from "./socket";

export type UplinkState = "connecting" | "sending" | "away" | "refused";

const RETRY_MS = 500;
const RETRY_MAX_MS = 5_000;
/** More than this may not wait here: it would come too late. A page that was busy for a while sends as much at once. */
const MAX_WAITING_S = 4;
/** A connection on which so long nothing moves is given up. */
const STUCK_MS = 4_000;

export class Uplink {
  state: UplinkState = "connecting";
  /** Why the daemon takes nothing, in its own words. */
  why = "";
  /** Blocks that were sent, and that could not be. */
  sent = 0;
  lost = 0;
  /** Called when the state is another one. */
  changed: () => void = () => undefined;
  /** Done when the daemon has answered for the first time, or cannot be reached. */
  readonly settled: Promise<void>;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private retryMs = RETRY_MS;
  private stuckSinceMs: number | null = null;
  /** Over a new connection this sender takes its own place again. */
  private readonly sender = crypto.randomUUID();
  private readonly hurry = (): void => {
    if (this.socket === null) this.open();
  };

  /** rate: Hz. */
  constructor(
    private readonly stream: string,
    private readonly rate: number,
  ) {
    this.settled = new Promise((settle) => (this.changed = settle));
    addEventListener("online", this.hurry);
    this.open();
  }

  /** message: as `Framer` makes it. */
  give(message: ArrayBuffer): void {
    const full = this.isFull();
    if (this.state !== "sending" || full) {
      this.lost++;
      return;
    }
    this.socket!.send(message);
    this.sent++;
  }

  close(): void {
    removeEventListener("online", this.hurry);
    clearTimeout(this.timer);
    this.drop();
  }

  private isFull(): boolean {
    const full = (this.socket?.bufferedAmount ?? 0) > 2 * this.rate * MAX_WAITING_S;
    this.stuckSinceMs = full ? (this.stuckSinceMs ?? Date.now()) : null;
    if (this.stuckSinceMs !== null && Date.now() - this.stuckSinceMs > STUCK_MS) this.away();
    return full;
  }

  private open(): void {
    clearTimeout(this.timer);
    this.drop();
    const socket = openSocket();
    this.socket = socket;
    socket.onopen = () => {
      const { stream, rate, sender } = this;
      socket.send(JSON.stringify({ type: "push", stream, rate, channels: 1, format: "s16le", sender }));
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      const message = decodeText(data);
      if (message.type === "pushing") {
        this.retryMs = RETRY_MS;
        this.become("sending");
      } else if (message.type === "error") {
        this.away("refused", message.message);
      }
    };
    socket.onclose = () => this.away();
  }

  private away(state: UplinkState = "away", why = ""): void {
    this.drop();
    this.become(state, why);
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = this.stuckSinceMs = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private become(state: UplinkState, why = ""): void {
    if (state === this.state && why === this.why) return;
    this.state = state;
    this.why = why;
    this.changed();
  }
}

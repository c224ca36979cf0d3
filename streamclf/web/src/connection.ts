// One websocket, kept up: it comes back by itself with what was missed, and asks for less when this page is behind.

import { Emitter } from "./emitter";
import { Ladder, type Tier } from "./ladder";
import type { Model } from "./model";
import {
  FRAMES_PER_SECOND,
  decodePicture,
  decodeScores,
  decodeText,
  magicOf,
  type AdjustedMessage,
  type ErrorMessage,
  type HelloMessage,
  type LaggedMessage,
  type ServerMessage,
  type SubscribedMessage,
} from "./protocol";
import { openSocket } from "./socket";
import { t } from "./strings";

export type { Tier } from "./ladder";
export type ConnectionState = "connecting" | "open" | "away" | "refused";

/** What `Connection.on` tells. */
export interface Heard {
  hello: HelloMessage;
  subscribed: SubscribedMessage;
  error: ErrorMessage;
  adjusted: AdjustedMessage;
}

export interface Shore {
  say(text: string, level?: "info" | "problem"): void;
  /** Asks the daemon whether it lets us in, and the user for what is needed. False: it cannot be reached. */
  admit(): Promise<boolean>;
}

const BACKFILL_S = 60;
/** What is held, unless the daemon is told to hold more. */
const REPLAY_S = 90;
const CALM_TOP = 8;
const RETRY_MS = 500;
const RETRY_MAX_MS = 5_000;
const SILENT_MS = 6_000;
const ANSWER_MS = 4_000;
/** Shorter absences are not worth a sentence. */
const WORTH_SAYING_MS = 2_000;

export class Connection {
  state: ConnectionState = "connecting";
  /** Since when there is no connection (ms since 1970), null while there is one. */
  awaySinceMs: number | null = null;
  private readonly heard = new Emitter<Heard>();
  private readonly ladder = new Ladder();
  private socket: WebSocket | null = null;
  /** Whether we may come in is being asked; a person may be looking for the token. */
  private asking = false;
  private instance: string | null = null;
  private seq = 0;
  /** Rows up to this number are replayed, not new. */
  private liveAfter = Infinity;
  private retryMs = RETRY_MS;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private heardAtMs = 0;
  private askedAtMs: number | null = null;
  private busyMs = 0;
  private checkedMs = 0;

  constructor(
    private readonly model: Model,
    private readonly shore: Shore,
  ) {}

  get tier(): Tier {
    return this.ladder.tier;
  }

  on<K extends keyof Heard>(kind: K, callback: (message: Heard[K]) => void): () => void {
    return this.heard.on(kind, callback);
  }

  start(): void {
    this.model.lag.sameClock = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
    setInterval(() => this.check(), 1000);
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => this.hurry());
    void this.connect();
  }

  /** False where there is no connection to send on. */
  send(message: object): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** The daemon wants a token that it has not been given yet. */
  waitForToken(): void {
    this.become("refused");
  }

  private async connect(): Promise<void> {
    if (this.asking || this.socket) return;
    this.asking = true;
    const admitted = await this.shore.admit();
    this.asking = false;
    if (!admitted) {
      this.lost("");
      return;
    }
    const socket = openSocket();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.take(event.data);
    socket.onclose = (event) => this.lost(event.reason);
    this.socket = socket;
    this.heardAtMs = Date.now();
  }

  private lost(reason: string): void {
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.askedAtMs = null;
    if (reason) this.shore.say(t.connection.closed(reason));
    this.awaySinceMs ??= Date.now();
    this.become("away");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, RETRY_MAX_MS);
  }

  private hurry(): void {
    if (this.state !== "away" || document.hidden) return;
    clearTimeout(this.timer);
    this.retryMs = RETRY_MS;
    this.timer = setTimeout(() => void this.connect(), 0);
  }

  private become(state: ConnectionState): void {
    if (this.state === state) return;
    this.state = state;
    this.model.changed.emit("connection", undefined);
  }

  private take(data: string | ArrayBuffer): void {
    const began = performance.now();
    this.heardAtMs = Date.now();
    try {
      if (typeof data === "string") this.takeMessage(decodeText(data));
      else this.takeBinary(data);
    } finally {
      this.busyMs += performance.now() - began;
    }
  }

  private takeBinary(data: ArrayBuffer): void {
    const magic = magicOf(data);
    if (magic === "SC") {
      const block = decodeScores(data);
      if (block.seq > this.liveAfter) this.model.lag.take(this.heardAtMs, block.capturedMs, block.sentMs);
      this.seq = Math.max(this.seq, block.seq);
      this.model.takeScores(block);
    } else if (magic === "SP") {
      for (const block of decodePicture(data)) this.model.takePicture(block);
    }
  }

  private takeMessage(message: ServerMessage): void {
    switch (message.type) {
      case "hello":
        this.takeHello(message);
        break;
      case "subscribed":
        this.takeSubscribed(message);
        break;
      case "event":
        this.seq = Math.max(this.seq, message.seq);
        this.model.takeEvent(message);
        break;
      case "gap":
        this.seq = Math.max(this.seq, message.seq);
        this.model.takeGap(message);
        break;
      case "status":
        this.seq = Math.max(this.seq, message.seq);
        this.model.takeStatus(message, Date.now());
        break;
      case "lagged":
        this.seq = Math.max(this.seq, message.seq);
        this.takeLagged(message);
        break;
      case "marked":
        this.model.takeMarked(message);
        break;
      case "relabelled":
        this.seq = Math.max(this.seq, message.seq);
        this.model.takeRelabelled(message);
        break;
      case "taught":
        this.seq = Math.max(this.seq, message.seq);
        this.model.changed.emit("taught", message);
        break;
      case "adjusted":
        this.heard.emit("adjusted", message);
        break;
      case "error":
        this.heard.emit("error", message);
        if (message.code === "bad-subscription") this.shore.say(message.message, "problem");
        break;
    }
  }

  private takeHello(hello: HelloMessage): void {
    const restarted = this.instance !== null && this.instance !== hello.instance;
    const awayMs = this.awaySinceMs === null ? 0 : Date.now() - this.awaySinceMs;
    if (this.instance !== null && awayMs > WORTH_SAYING_MS) this.shore.say(t.connection.back(awayMs / 1000, restarted));
    this.model.lag.restart();
    this.model.takeHello(hello);
    this.subscribe(hello);
    this.instance = hello.instance;
    if (restarted) this.seq = 0;
    this.retryMs = RETRY_MS;
    this.awaySinceMs = null;
    this.become("open");
    this.heard.emit("hello", hello);
    void this.fetchPictures();
  }

  private subscribe(hello = this.model.hello): void {
    if (hello === null) return;
    const tracks = hello.streams.reduce((count, stream) => count + stream.packs.length, 0);
    // numbers of a gateway of many sites are not consecutive; they grow with time all the same
    const share = Math.round((hello.seq - hello.oldest_seq) * (BACKFILL_S / REPLAY_S));
    const backfill = hello.seq - Math.max(share, BACKFILL_S * FRAMES_PER_SECOND * Math.max(1, tracks));
    const known = this.instance !== null;
    this.liveAfter = Infinity;
    this.askedAtMs = Date.now();
    this.send({
      type: "subscribe",
      encoding: "u8",
      final: "provisional",
      since: known ? this.seq : Math.max(0, hello.oldest_seq - 1, backfill),
      instance: this.instance ?? hello.instance,
      ...WISHES[this.tier],
    });
  }

  private takeSubscribed(message: SubscribedMessage): void {
    this.liveAfter = message.seq;
    if (this.askedAtMs !== null) this.model.lag.roundTripMs = Date.now() - this.askedAtMs;
    this.askedAtMs = null;
    this.model.takeSubscribed(message);
    this.heard.emit("subscribed", message);
  }

  private takeLagged(lagged: LaggedMessage): void {
    this.model.takeLagged(lagged);
    if (lagged.reason === "replay") this.shore.say(t.connection.missed(lagged.dropped), "problem");
    if (lagged.reason === "mailbox") this.stepTo(this.ladder.dropped(Date.now()));
  }

  private stepTo(tier: Tier | null): void {
    if (tier === null) return;
    this.subscribe();
    this.shore.say(t.connection.tier[tier]);
    this.model.changed.emit("connection", undefined);
  }

  /** Once a second: a connection that is dead but does not say so, and whether this page keeps up. */
  private check(): void {
    const nowMs = Date.now();
    const spanMs = nowMs - this.checkedMs;
    this.checkedMs = nowMs;
    const busy = this.busyMs / spanMs;
    this.busyMs = 0;
    if (this.state !== "open") {
      if (this.socket && nowMs - this.heardAtMs > SILENT_MS) this.lost("");
      return;
    }
    if (this.askedAtMs !== null && nowMs - Math.max(this.askedAtMs, this.heardAtMs) > ANSWER_MS) this.lost("");
    else if (this.askedAtMs === null && nowMs - this.heardAtMs > SILENT_MS) this.subscribe();
    else this.stepTo(this.ladder.check({ wayMs: this.model.lag.wayMs, busy }, nowMs));
  }

  /** The columns that are still held, as the socket brings only new ones; one stream after the other. */
  private async fetchPictures(): Promise<void> {
    // while one is fetched the socket brings new ones of the others
    const wanted = [...this.model.streams].map(([name, { picture }]) => [name, picture.newest + 1] as const);
    for (const [stream, from] of wanted) await this.fetchPicture(stream, from);
  }

  private async fetchPicture(stream: string, from: number): Promise<void> {
    const { instance } = this;
    const address = `v1/picture?stream=${encodeURIComponent(stream)}&from=${from}`;
    try {
      const answer = await fetch(address);
      if (!answer.ok) return;
      const blocks = decodePicture(await answer.arrayBuffer());
      // frames of a former start have other numbers
      if (instance === this.instance) for (const block of blocks) this.model.takePicture(block);
    } catch {
      // the socket tells whether the daemon can be reached; without old columns the picture begins now
    }
  }
}

const WISHES: Record<Tier, object> = {
  full: { tier: "batch", picture: true },
  calm: { tier: "batch", top_k: CALM_TOP },
  events: { tier: "events" },
};

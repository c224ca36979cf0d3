// What comes from a daemon, decoded, and the place to resume from. No I/O.

import { decodePicture, decodeScores, decodeSound, magicOf, type PictureMessage, type SoundMessage } from "./binary.js";
import { StreamclfError } from "./errors.js";
import type { HelloMessage, ScoresMessage, ServerMessage, SubscribedMessage } from "./protocol.generated.js";

/** Everything that a client gets. `picture` and `sound` come only where they were asked for. */
export type Message = ServerMessage | PictureMessage | SoundMessage;

/** Whatever has no track of rows: events, gaps, statuses, marks. */
const ITEMS = "";

export class Reader {
  hello: HelloMessage | null = null;
  private subscribed: SubscribedMessage | null = null;
  private greeted = false;
  /** The newest number had of each track of rows, and of the items. */
  private readonly had = new Map<string, number>();

  /** seq: the largest number had, null before anything was promised. instance: the start of the daemon it belongs to. */
  constructor(
    public seq: number | null = null,
    public instance: string | null = null,
  ) {}

  /** A connection begins: its first message has to be `hello`. */
  connected(): void {
    this.greeted = false;
    this.subscribed = null;
  }

  /** The message in what came, or null for what was had before. */
  take(data: string | ArrayBuffer): Message | null {
    const message = typeof data === "string" ? decodeText(data) : this.decodeBinary(data);
    if (!this.greeted && message.type !== "hello")
      throw new StreamclfError("the server does not begin as streamclf does; check the address");
    switch (message.type) {
      case "hello":
        this.hello = message;
        this.greeted = true;
        break;
      case "subscribed":
        this.subscribed = message;
        this.seq ??= message.seq;
        this.instance ??= this.hello!.instance;
        break;
      case "relabelled": {
        const packs = this.hello!.packs;
        const at = packs.findIndex((pack) => pack.name === message.entry.name);
        packs.splice(at < 0 ? packs.length : at, 1, message.entry);
        break;
      }
      case "lagged":
        if (message.reason === "restart") this.restart();
        else this.reach(message.seq);
        break;
      case "scores":
        // rows whose group was closed early stand behind larger numbers and are sent again on resuming there
        return this.isNew(`${message.final}/${message.pack}/${message.stream}`, message.seq) ? message : null;
      case "event":
      case "gap":
      case "status":
      case "marked":
      case "taught":
        return this.isNew(ITEMS, message.seq) ? message : null;
      case "error":
        // a client sends nothing but subscriptions, so that what cannot be read is one as well
        if (message.code === "bad-subscription" || message.code === "bad-message")
          throw new StreamclfError(`the daemon cannot serve this subscription: ${message.message}`);
    }
    return message;
  }

  private restart(): void {
    this.seq = 0;
    this.instance = this.hello!.instance;
    this.had.clear();
  }

  private isNew(track: string, seq: number): boolean {
    if (seq <= (this.had.get(track) ?? -1)) return false;
    this.had.set(track, seq);
    this.reach(seq);
    return true;
  }

  private reach(seq: number): void {
    this.seq = Math.max(seq, this.seq ?? 0);
  }

  private decodeBinary(buffer: ArrayBuffer): Message {
    switch (magicOf(buffer)) {
      case "SC":
        return this.unpack(buffer);
      case "SP":
        return decodePicture(buffer, (index) => this.nameOf(index));
      case "SA":
        return decodeSound(buffer, (index) => this.nameOf(index));
      default:
        throw new StreamclfError("the server sent bytes of a kind that is not known here");
    }
  }

  private unpack(buffer: ArrayBuffer): ScoresMessage {
    const { columns, rows, ...packed } = decodeScores(buffer);
    const pack = this.hello?.packs[packed.pack];
    const labels = columns
      ? columns.map((column) => pack?.labels[column]?.id)
      : this.subscribed?.packs.find((entry) => entry.name === pack?.name)?.labels;
    if (!pack || !labels || labels.includes(undefined) || rows.some((row) => row.length !== labels.length))
      throw new StreamclfError("the server sent score rows that do not fit the packs that it named");
    return {
      type: "scores",
      stream: this.nameOf(packed.stream),
      pack: pack.name,
      seq: packed.seq,
      first_frame: packed.firstFrame,
      count: rows.length,
      labels: labels as string[],
      rows,
      final: packed.final,
      captured_ms: packed.capturedMs,
      decided_ms: packed.decidedMs,
      sent_ms: packed.sentMs,
    };
  }

  private nameOf(index: number): string {
    const stream = this.hello?.streams[index];
    if (!stream) throw new StreamclfError("the server sent something of a stream that it never named");
    return stream.name;
  }
}

/** A JSON message, each `…_ns` turned into `…_ms`. Unknown types come through as they are. */
function decodeText(text: string): ServerMessage {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    message = null;
  }
  if (typeof message !== "object" || message === null || !("type" in message))
    throw new StreamclfError("the server sent something that is not a message of streamclf; check the address");
  return inMilliseconds(message) as ServerMessage;
}

function inMilliseconds(value: unknown): unknown {
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(inMilliseconds) : value;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] =>
    key.endsWith("_ns")
      ? [`${key.slice(0, -3)}_ms`, typeof item === "number" ? item / 1e6 : item]
      : [key, inMilliseconds(item)],
  );
  return Object.fromEntries(entries);
}

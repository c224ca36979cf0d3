// All that the page knows. No DOM. Views read it on each animation frame and listen to its coarse changes.

import { Emitter } from "./emitter";
import { Lag } from "./lag";
import {
  FRAME_MS,
  type EventMessage,
  type GapMessage,
  type HelloMessage,
  type LabelEntry,
  type LaggedMessage,
  type MarkedMessage,
  type PackEntry,
  type PictureBlock,
  type RelabelledMessage,
  type ScoreBlock,
  type StatusMessage,
  type StreamEntry,
  type SubscribedMessage,
  type TaughtMessage,
} from "./protocol";
import { PictureRing, Track, UNKNOWN } from "./rings";
import { MEANINGS } from "./states.generated";

export { KEEP_FRAMES, PictureRing, Track } from "./rings";

const KEEP_EVENTS = 2000;
const KEEP_GAPS = 500;
const KEEP_NOTES = 200;
/** Clocks are set right by less than that while a daemon runs. */
const ANEW_MS = 2_000;

/** Frames `from` to `to`, `to` not included, have no scores. */
export interface GapSpan {
  from: number;
  to: number;
  reason: string;
}

/** Something to know about a stream or a pack on it, and when this page heard of it. */
export interface Note {
  atMs: number;
  stream: string;
  pack: string;
  state: string;
  detail: string;
}

/** What `Model.changed` tells. A view that holds a `StreamModel` gets it anew on "hello" and "streams". */
export interface Changes {
  hello: HelloMessage;
  /** State or choice of streams. */
  streams: undefined;
  events: EventMessage;
  connection: undefined;
  lag: LaggedMessage;
  marks: MarkedMessage;
  taught: TaughtMessage;
}

/** The newest stage of each event by id. Policy when full: the one that came first is forgotten. */
export class EventList {
  readonly byId = new Map<string, EventMessage>();

  constructor(readonly keep: number = KEEP_EVENTS) {}

  put(event: EventMessage): void {
    this.byId.set(event.id, event);
    if (this.byId.size > this.keep) {
      const [oldest] = this.byId.keys();
      this.byId.delete(oldest!);
    }
  }

  get(id: string): EventMessage | undefined {
    return this.byId.get(id);
  }

  /** By onset, the newest first. */
  newestFirst(): EventMessage[] {
    return [...this.byId.values()].sort((one, other) => other.onset_ms - one.onset_ms);
  }
}

/** The sound of one source. */
export class StreamModel {
  readonly tracks = new Map<string, Track>();
  readonly picture = new PictureRing();
  readonly gaps: GapSpan[] = [];
  /** Newest stages, by onset. */
  readonly events: EventMessage[] = [];
  /** Events that have not closed, by id. */
  readonly open = new Map<string, EventMessage>();

  constructor(
    public entry: StreamEntry,
    public index: number,
    packs: Map<string, PackEntry>,
  ) {
    for (const name of entry.packs) {
      const pack = packs.get(name);
      if (pack) this.tracks.set(name, new Track(pack));
    }
  }

  /** Newest frame of scores or picture, -1 before the first. */
  get newestFrame(): number {
    let newest = this.picture.newest;
    for (const track of this.tracks.values()) newest = Math.max(newest, track.newest);
    return newest;
  }

  /** Wall time (ms since 1970) at which the frame begins. */
  frameToMs(frame: number): number {
    return this.entry.epoch_ms + frame * FRAME_MS;
  }

  /** The frame, with its fraction, that this moment lies in. */
  msToFrame(ms: number): number {
    return (ms - this.entry.epoch_ms) / FRAME_MS;
  }

  /** Takes the pack as it is from here on. */
  relabel(pack: PackEntry): void {
    const track = this.tracks.get(pack.name);
    if (track === undefined) return;
    const same = (label: LabelEntry, at: number): boolean => label.id === track.pack.labels[at]?.id;
    if (pack.labels.length === track.labels && pack.labels.every(same)) track.pack = pack;
    else this.tracks.set(pack.name, track.relabelled(pack));
  }

  putScores(block: ScoreBlock, pack: PackEntry): void {
    let track = this.tracks.get(pack.name);
    // a pack that is new since hello, where something was taught
    if (track === undefined) this.tracks.set(pack.name, (track = new Track(pack)));
    track.put(block);
    if (this.entry.epoch_ms === 0) {
      // hello came before the first sample: good to a few ms, until the first event says it exactly
      const last = block.firstFrame + block.count;
      this.entry.epoch_ms = block.capturedMs - pack.look_ahead_ms - last * FRAME_MS;
    }
  }

  putEvent(event: EventMessage): void {
    if (event.stage === "open") this.entry.epoch_ms = event.onset_ms - event.onset_frame * FRAME_MS;
    if (event.stage === "close") this.open.delete(event.id);
    else this.open.set(event.id, event);
    let at = this.events.length;
    while (at > 0 && this.events[at - 1]!.onset_frame >= event.onset_frame) {
      if (this.events[--at]!.id === event.id) {
        this.events[at] = event;
        return;
      }
    }
    while (at < this.events.length && this.events[at]!.onset_frame <= event.onset_frame) at++;
    this.events.splice(at, 0, event);
    if (this.events.length > KEEP_EVENTS) this.events.shift();
  }

  putGap(gap: GapMessage): void {
    const hop = this.entry.rate / (1000 / FRAME_MS);
    const from = Math.floor(gap.first_sample / hop);
    const to = Math.floor(gap.last_sample / hop) + 1;
    if (this.gaps.some((known) => known.from === from && known.to === to)) return;
    this.gaps.push({ from, to, reason: gap.reason });
    if (this.gaps.length > KEEP_GAPS) this.gaps.shift();
  }
}

/** One daemon of many, behind a gateway, was restarted: its frames count from another moment. */
function startedAnew(before: StreamEntry, now: StreamEntry): boolean {
  return before.epoch_ms !== 0 && now.epoch_ms !== 0 && Math.abs(before.epoch_ms - now.epoch_ms) > ANEW_MS;
}

/** What is known of the daemon at the other end. */
export class Model {
  hello: HelloMessage | null = null;
  readonly streams = new Map<string, StreamModel>();
  readonly packs = new Map<string, PackEntry>();
  readonly events = new EventList();
  /** Newest last. */
  readonly notes: Note[] = [];
  readonly changed = new Emitter<Changes>();
  /** From the capture of a sample to this browser. */
  readonly lag = new Lag();
  /** Rows have come since the page was opened. */
  hasRows = false;

  takeHello(hello: HelloMessage): void {
    const restarted = this.hello !== null && this.hello.instance !== hello.instance;
    if (restarted) {
      // ids of events and frames begin anew; what was kept of the former start is in its store
      this.streams.clear();
      this.events.byId.clear();
    }
    this.packs.clear();
    for (const pack of hello.packs) this.packs.set(pack.name, pack);
    for (const name of [...this.streams.keys()])
      if (!hello.streams.some((entry) => entry.name === name)) this.streams.delete(name);
    hello.streams.forEach((entry, index) => {
      const known = this.streams.get(entry.name);
      if (known && !startedAnew(known.entry, entry)) {
        known.index = index;
        known.entry = entry;
        // something may have been taught while the page was away
        for (const pack of hello.packs) known.relabel(pack);
      } else {
        this.streams.set(entry.name, new StreamModel(entry, index, this.packs));
      }
    });
    this.hello = hello;
    this.changed.emit("hello", hello);
  }

  /** What is left out of the rows from now on. */
  takeSubscribed({ packs }: SubscribedMessage): void {
    for (const stream of this.streams.values())
      for (const { name, min_prob } of packs) {
        const track = stream.tracks.get(name);
        if (track) track.missing = (min_prob ?? 0) > 0 ? 0 : UNKNOWN;
      }
  }

  takeScores(block: ScoreBlock): void {
    const pack = this.hello?.packs[block.pack];
    const stream = this.streamAt(block.stream);
    if (!pack || !stream) return;
    stream.putScores(block, pack);
    this.hasRows = true;
  }

  takePicture(block: PictureBlock): void {
    this.streamAt(block.stream)?.picture.put(block);
  }

  takeEvent(event: EventMessage): void {
    this.events.put(event);
    this.streams.get(event.stream)?.putEvent(event);
    this.changed.emit("events", event);
  }

  takeGap(gap: GapMessage): void {
    this.streams.get(gap.stream)?.putGap(gap);
    this.changed.emit("streams", undefined);
  }

  takeStatus(status: StatusMessage, atMs: number): void {
    const stream = this.streams.get(status.stream);
    if (stream && !status.pack && MEANINGS[status.state]?.ofStream) {
      stream.entry.state = status.state === "resumed" ? "live" : status.state;
      stream.entry.detail = status.detail;
    }
    const { stream: name, pack, state, detail } = status;
    this.notes.push({ atMs, stream: name, pack, state, detail });
    if (this.notes.length > KEEP_NOTES) this.notes.shift();
    this.changed.emit("streams", undefined);
  }

  takeLagged(lagged: LaggedMessage): void {
    this.changed.emit("lag", lagged);
  }

  takeMarked(marked: MarkedMessage): void {
    this.changed.emit("marks", marked);
  }

  /** A pack has other labels from here on, or is new. What is held of labels that stay goes on. */
  takeRelabelled({ entry }: RelabelledMessage): void {
    const packs = this.hello?.packs;
    if (!packs) return;
    const at = packs.findIndex(({ name }) => name === entry.name);
    packs.splice(at < 0 ? packs.length : at, at < 0 ? 0 : 1, entry);
    this.packs.set(entry.name, entry);
    for (const stream of this.streams.values()) stream.relabel(entry);
    this.changed.emit("streams", undefined);
  }

  /** The labels of packs that are made of what was taught. */
  taughtLabels(): LabelEntry[] {
    return [...this.packs.values()].filter(({ name }) => isTaught(name)).flatMap(({ labels }) => labels);
  }

  /** The pack's own entry of a label; ids that it does not know stand for themselves. */
  label(pack: string, id: string): LabelEntry {
    const known = this.packs.get(pack)?.labels.find((label) => label.id === id);
    return known ?? { id, name: id, group: "", hidden: false, enter: null };
  }

  private streamAt(index: number): StreamModel | undefined {
    const entry = this.hello?.streams[index];
    return entry && this.streams.get(entry.name);
  }
}

/**
 * Whether the pack is made of what was taught: `taught`, or `taught-HOST` where several packs are taught on; of a fleet
 * it is `SITE/taught`.
 */
export function isTaught(pack: string): boolean {
  const name = pack.slice(pack.lastIndexOf("/") + 1);
  return name === "taught" || name.startsWith("taught-");
}

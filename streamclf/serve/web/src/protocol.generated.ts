// Made by `python -m tools.protocol_types` from the protocol's AsyncAPI document: change that, not this.
// Times are nanoseconds on the wire; each `…_ns` is a `…_ms` here, milliseconds that may have a fraction.

export const PROTOCOL = "streamclf.v1";
export const FRAME_MS = 20;

/** First message of a connection. */
export interface HelloMessage {
  type: "hello";
  protocol: string;
  version: string;
  /** Another one means that the daemon was restarted. */
  instance: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** Everything from this number on can be replayed with `since`. */
  oldest_seq: number;
  streams: StreamEntry[];
  packs: PackEntry[];
  /** Why `audio` cannot be had on this connection; empty where it can. */
  no_audio: string;
}

/** One line of audio. */
export interface StreamEntry {
  name: string;
  rate: number;
  /** Wall time of sample 0 (ms since 1970); 0 before the first sample. */
  epoch_ms: number;
  source: string;
  state: string;
  detail: string;
  /** A recording that ships with the project, not what can be heard here. */
  demo: boolean;
  priority: number;
  packs: string[];
  /** Takes its samples from a client. */
  push: boolean;
  /** The self-test's stream: nothing that is heard on it is real. */
  test: boolean;
}

/** One model pack and its latency budget. */
export interface PackEntry {
  name: string;
  version: string;
  /** sha256 of the pack's manifest, which holds the hash of every file. */
  digest: string;
  shape: Shape;
  labels: LabelEntry[];
  /** Exactly one class holds at a time. */
  exclusive: boolean;
  window_ms: number;
  look_ahead_ms: number;
  /** Look-ahead and buffering, without computing time. */
  algorithmic_latency_ms: number;
  /** Null where it is unbounded (recurrent state). */
  receptive_field_ms: number | null;
  /** Time between two runs of the model. */
  hop_ms: number;
  provider: string;
  /** Deadline of the final revision; null where rows come once. */
  latency_ms: number | null;
}

/** The three shapes of a model pack (how rows come out of it). */
export type Shape = "stateful" | "window-frames" | "window-row";

/** One class of a pack. */
export interface LabelEntry {
  id: string;
  /** For people; untrusted text, never markup. */
  name: string;
  group: string;
  /** Too generic to show; top_k leaves it out unless it is named. */
  hidden: boolean;
  /** At this probability an event begins; null where none does. */
  enter: number | null;
}

/** Answer to `subscribe`: what is in force now. */
export interface SubscribedMessage {
  type: "subscribed";
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  channel: number;
  tier: "batch" | "events" | "frame";
  encoding: "f16" | "json" | "u8";
  final: "all" | "final" | "provisional";
  top_k: number | null;
  min_prob: number;
  picture: boolean;
  audio: string | null;
  streams: string[];
  packs: ChannelPack[];
  /** Replay begins after this number; null: live from now on. */
  since: number | null;
}

/** A pack of a subscription and its label ids, the columns of its rows unless top_k or min_prob picks some. */
export interface ChannelPack {
  name: string;
  labels: string[];
}

/** Score rows of one pack on consecutive frames of one stream. */
export interface ScoresMessage {
  type: "scores";
  stream: string;
  pack: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** Index of a 20 ms frame of the stream; frame 0 starts at its epoch. */
  first_frame: number;
  count: number;
  /** Ids of the columns; with top_k, best first. */
  labels: string[];
  /** count rows of one probability for each label. */
  rows: number[][];
  /** False: a revision of these frames follows. */
  final: boolean;
  /** Wall time (ms) of the newest sample that the last row rests on. */
  captured_ms: number;
  /** Milliseconds since 1970-01-01 UTC. */
  decided_ms: number;
  /** Milliseconds since 1970-01-01 UTC. */
  sent_ms: number;
}

/** An event opened, goes on or closed. */
export interface EventMessage {
  type: "event";
  stream: string;
  pack: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  id: string;
  label: string;
  stage: "close" | "open" | "update";
  /** Index of a 20 ms frame of the stream; frame 0 starts at its epoch. */
  onset_frame: number;
  /** One past the last active frame; null while it lasts. */
  offset_frame: number | null;
  peak: number;
  mean: number;
  /** Milliseconds since 1970-01-01 UTC. */
  onset_ms: number;
  offset_ms: number | null;
  /** Milliseconds since 1970-01-01 UTC. */
  captured_ms: number;
  /** Milliseconds since 1970-01-01 UTC. */
  decided_ms: number;
  /** Milliseconds since 1970-01-01 UTC. */
  sent_ms: number;
}

/** Samples first_sample to last_sample, both included, have no scores. */
export interface GapMessage {
  type: "gap";
  stream: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  first_sample: number;
  last_sample: number;
  reason: string;
}

/** Something to know about a stream, or about a pack on it. */
export interface StatusMessage {
  type: "status";
  stream: string;
  pack: string;
  state: string;
  detail: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
}

/**
 * Messages that this subscriber will not get. Never silent.
 *
 * Reasons: `mailbox` (it read too slowly; dropped = score rows), `replay` (no longer held; dropped = things published,
 * of any kind), `restart` (`since` belongs to an earlier start of the daemon; what this one holds follows).
 */
export interface LaggedMessage {
  type: "lagged";
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  from_seq: number;
  to_seq: number;
  dropped: number;
  reason: "mailbox" | "replay" | "restart";
}

/** A message of the client was refused; the connection stays, and so does its former subscription. */
export interface ErrorMessage {
  type: "error";
  code: "bad-mark" | "bad-message" | "bad-push" | "bad-subscription";
  message: string;
}

/** Answer to `push`: binary messages may follow. */
export interface PushingMessage {
  type: "pushing";
  stream: string;
  rate: number;
  format: "f32le" | "s16le";
}

/** Somebody marked an event that is kept; everybody is told. Fields as in `mark`. */
export interface MarkedMessage {
  type: "marked";
  event: string;
  mark: "" | "right" | "wrong";
  label: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
}

/**
 * Says what to send. A later one takes the place of the former.
 *
 * Left out means all. `labels` takes ids and `group:NAME`; `groups` adds whole groups. Events are filtered by stream,
 * pack and label, never by probability; gaps and statuses by stream.
 */
export interface SubscribeMessage {
  type: "subscribe";
  streams?: string[] | null;
  packs?: string[] | null;
  labels?: string[] | null;
  groups?: string[] | null;
  top_k?: number | null;
  min_prob?: number;
  tier?: "batch" | "events" | "frame";
  encoding?: "f16" | "json" | "u8";
  since?: number | null;
  instance?: string | null;
  final?: "all" | "final" | "provisional";
  picture?: boolean;
  audio?: string | null;
}

/** Announces samples for a `push` stream. Binary messages follow: u64 index of the first sample, then mono PCM. */
export interface PushMessage {
  type: "push";
  stream: string;
  rate: number;
  channels?: number;
  format?: "f32le" | "s16le";
  sender?: string;
}

/** Says whether an event that is kept was right; a later mark takes the place of the former. Answer: `marked`. */
export interface MarkMessage {
  type: "mark";
  /** Its `id` at /v1/events: `hello.instance`, `/`, its id. */
  event: string;
  mark: "" | "right" | "wrong";
  label?: string;
}

/** What the daemon sends as JSON. */
export type ServerMessage =
  | HelloMessage
  | SubscribedMessage
  | ScoresMessage
  | EventMessage
  | GapMessage
  | StatusMessage
  | LaggedMessage
  | ErrorMessage
  | PushingMessage
  | MarkedMessage;

/** What a client sends as JSON. */
export type ClientMessage = SubscribeMessage | PushMessage | MarkMessage;

// Made by `python -m tools.protocol_types` from the protocol's AsyncAPI document: change that, not this.
// Times are nanoseconds on the wire; each `…_ns` is a `…_ms` here, milliseconds that may have a fraction.

export const PROTOCOL = "streamclf.v1";
export const FRAME_MS = 20;

/** First message of a connection. */
export interface HelloMessage {
  type: "hello";
  /** Name and version of this protocol. */
  protocol: string;
  /** Of the daemon. */
  version: string;
  /** Another one means that the daemon was restarted. */
  instance: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** Everything from this number on can be replayed with `since`. */
  oldest_seq: number;
  /** All of them; binary messages name one by its index here. */
  streams: StreamEntry[];
  /** All of them; binary messages name one by its index here. */
  packs: PackEntry[];
  /** Why `audio` cannot be had on this connection; empty where it can. */
  no_audio: string;
}

/** The sound of one source. */
export interface StreamEntry {
  /** What messages call it. */
  name: string;
  /** Samples a second: of its source, or 48,000 where that was not there at the start. */
  rate: number;
  /** Wall time of sample 0 (ms since 1970); 0 before the first sample. */
  epoch_ms: number;
  /** Where its sound comes from, in words. */
  source: string;
  /** What the last `status` about it said. */
  state: string;
  /** Why, in a sentence; may be empty. */
  detail: string;
  /** A recording that ships with the project, not what can be heard here. */
  demo: boolean;
  /** Where the machine cannot keep up, streams of the lowest are paused first. */
  priority: number;
  /** Names of the packs that hear it. */
  packs: string[];
  /** Takes its samples from a client. */
  push: boolean;
  /** The self-test's stream: nothing that is heard on it is real. */
  test: boolean;
}

/** One model pack and its latency budget. */
export interface PackEntry {
  /** What messages call it. */
  name: string;
  /** Of its weights. */
  version: string;
  /** sha256 of the pack's manifest, which holds the hash of every file. */
  digest: string;
  /** How rows come out of it. */
  shape: Shape;
  /** Its classes, in the order of the columns. */
  labels: LabelEntry[];
  /** Exactly one class holds at a time. */
  exclusive: boolean;
  /** Sound that one run looks at. */
  window_ms: number;
  /** Sound behind a frame that its row rests on. */
  look_ahead_ms: number;
  /** Look-ahead and buffering, without computing time. */
  algorithmic_latency_ms: number;
  /** Null where it is unbounded (recurrent state). */
  receptive_field_ms: number | null;
  /** Time between two runs of the model. */
  hop_ms: number;
  /** What runs it: cpu, cuda or tensorrt. */
  provider: string;
  /** Deadline of the final revision; null where rows come once. */
  latency_ms: number | null;
  /** Why it does not score; empty where it does. */
  problem: string;
}

/** The shapes of a model pack (how rows come out of it). */
export type Shape = "derived" | "fused" | "stateful" | "window-frames" | "window-row";

/** One class of a pack. */
export interface LabelEntry {
  /** What messages call it: a-z, 0-9 and _. */
  id: string;
  /** For people; untrusted text, never markup. */
  name: string;
  /** What it belongs to, such as bird; empty where to nothing. */
  group: string;
  /** Too generic to show; top_k leaves it out unless it is named. */
  hidden: boolean;
  /** At this probability an event begins; null where none does. */
  enter: number | null;
}

/** Answer to `subscribe`: what is in force now. Fields as there. */
export interface SubscribedMessage {
  type: "subscribed";
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** Number that binary score rows of this subscription bear. */
  channel: number;
  tier: "batch" | "events" | "frame";
  encoding: "f16" | "json" | "u8";
  final: "all" | "final" | "provisional";
  top_k: number | null;
  min_prob: number | null;
  picture: boolean;
  audio: string | null;
  /** Names of the streams that are sent. */
  streams: string[];
  /** The packs that are sent. */
  packs: ChannelPack[];
  /** Replay begins after this number; null: live from now on. */
  since: number | null;
}

/** A pack of a subscription and its label ids, the columns of its rows unless top_k or min_prob picks some. */
export interface ChannelPack {
  /** Name of the pack. */
  name: string;
  /** Ids, in the order of the columns. */
  labels: string[];
  /** In force for this pack: a label that a message leaves out lies below it in all its rows; 0 where none is. */
  min_prob: number;
}

/** Score rows of one pack on consecutive frames of one stream. */
export interface ScoresMessage {
  type: "scores";
  /** Name of the stream. */
  stream: string;
  /** Name of the pack. */
  pack: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** Index of a 20 ms frame of the stream; frame 0 starts at its epoch. */
  first_frame: number;
  /** Rows in this message. */
  count: number;
  /** Ids of the columns; with top_k, best first. */
  labels: string[];
  /** count rows of one probability for each label. */
  rows: number[][];
  /** False: a revision of these frames follows. */
  final: boolean;
  /** Wall time (ms) of the newest sample that the last row rests on. */
  captured_ms: number;
  /** Wall time at which the engine had decided. */
  decided_ms: number;
  /** Wall time at which it was sent. */
  sent_ms: number;
}

/** An event opened, goes on or closed. */
export interface EventMessage {
  type: "event";
  /** Name of the stream. */
  stream: string;
  /** Name of the pack. */
  pack: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** The same in all stages of one event. */
  id: string;
  /** Id of its label. */
  label: string;
  /** It begins, goes on (told once a second), has ended. */
  stage: "close" | "open" | "update";
  /** Index of a 20 ms frame of the stream; frame 0 starts at its epoch. */
  onset_frame: number;
  /** One past the last active frame; null while it lasts. */
  offset_frame: number | null;
  /** Largest probability so far. */
  peak: number;
  /** Mean probability over its active frames so far. */
  mean: number;
  /** Wall time of the onset. */
  onset_ms: number;
  /** Wall time of the offset; null while it lasts. */
  offset_ms: number | null;
  /** Wall time of the newest sample that the decision rests on. */
  captured_ms: number;
  /** Wall time at which the engine had decided. */
  decided_ms: number;
  /** Wall time at which it was sent. */
  sent_ms: number;
  /** Empty while it lasts; quiet, gap (sound was lost, or its pack failed), paused, changed, end or stop. */
  ended_by: string;
}

/** Samples first_sample to last_sample, both included, have no scores. */
export interface GapMessage {
  type: "gap";
  /** Name of the stream. */
  stream: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** Index at the stream's own rate. */
  first_sample: number;
  /** Index at the stream's own rate. */
  last_sample: number;
  /** In a word or a sentence. */
  reason: string;
}

/** Something to know about a stream, or about a pack on it. */
export interface StatusMessage {
  type: "status";
  /** Name of the stream. */
  stream: string;
  /** Name of the pack, empty where it is about the whole stream. */
  pack: string;
  /** In a word, such as live, waiting, lost, ended, behind, paused. */
  state: string;
  /** In a sentence; may be empty. */
  detail: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
}

/**
 * Messages that this subscriber will not get. Never silent.
 *
 * Reasons: `mailbox` (it read too slowly; dropped = score rows), `replay` (no longer held; dropped = things published,
 * of any kind), `restart` (`since` belongs to an earlier start of the daemon; nobody knows how much of it is missing,
 * and what this one holds follows; /v1/events has the events of all starts, with a sequence of its own).
 */
export interface LaggedMessage {
  type: "lagged";
  /** Place in the one sequence of everything published since the start. */
  seq: number;
  /** The first number that is missing, or may be. */
  from_seq: number;
  /** The last one. */
  to_seq: number;
  /** How much is missing, in what `reason` counts; null where that is not known, after a restart. */
  dropped: number | null;
  /** Why; see above. */
  reason: "mailbox" | "replay" | "restart";
}

/** A message of the client was refused; the connection stays, and so does its former subscription. */
export interface ErrorMessage {
  type: "error";
  /** What was refused. */
  code: "bad-adjust" | "bad-mark" | "bad-message" | "bad-push" | "bad-subscription" | "bad-teach";
  /** Why, in a sentence. */
  message: string;
}

/** Answer to `push`: binary messages may follow. */
export interface PushingMessage {
  type: "pushing";
  /** Name of the stream. */
  stream: string;
  /** Samples a second, as announced. */
  rate: number;
  /** Of the samples, as announced. */
  format: "f32le" | "s16le";
}

/** Somebody marked an event that is kept; everybody is told. Fields as in `mark`. */
export interface MarkedMessage {
  type: "marked";
  /** Its `id` at /v1/events. */
  event: string;
  /** What it was marked as; empty where the mark was taken back. */
  mark: "" | "right" | "wrong";
  /** With `wrong`: what it was instead, where somebody said so. */
  label: string;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
}

/** Answer to `adjust`: the thresholds stand in the configuration, which takes them over within two seconds. */
export interface AdjustedMessage {
  type: "adjusted";
  /** Id of the label. */
  label: string;
  /** At which an event begins. */
  enter: number;
  /** Below which it ends. */
  leave: number;
  /** How long a sound has to last to be one. */
  min_on_ms: number;
  /** Name of the file beside it that holds the former configuration; empty where there was none. */
  kept: string;
}

/**
 * A pack has other labels from here on, or is new: then it stands behind all others of `hello.packs`.
 *
 * A new `subscribed` follows where the client's own subscription is another one by that.
 */
export interface RelabelledMessage {
  type: "relabelled";
  /** As it is from now on. */
  entry: PackEntry;
  /** Place in the one sequence of everything published since the start. */
  seq: number;
}

/** Somebody has taught, or had forgotten; everybody is told. Fields as in `teach`. */
export interface TaughtMessage {
  type: "taught";
  /** Id of the class. */
  label: string;
  /** For people; untrusted text, never markup. */
  name: string;
  /** What was said of the example; `forgot`: it, or the whole class, is forgotten; `named`: `name` is new, no more. */
  said: "forgot" | "is" | "named" | "not";
  /** Id of the example; empty where all of them are meant. */
  example: string;
  /** The pack that has the class as a label. */
  pack: string;
  /** Of what it is, that are kept now. */
  examples: number;
  /** Of what it is not. */
  against: number;
  /** What there is to know of it, in a sentence; may be empty. */
  detail: string;
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
  /** Names of streams. */
  streams?: string[] | null;
  /** Names of packs. */
  packs?: string[] | null;
  /** Ids of labels, or `group:NAME`. */
  labels?: string[] | null;
  /** Names of groups. */
  groups?: string[] | null;
  /** The k best labels over the message's rows; hidden labels only where `labels` or `groups` names them. */
  top_k?: number | null;
  /** Labels whose best row lies below are left out; a message left with none is still sent, as a sign of life. Null: 0.01 for a pack of which more than 100 labels are sent without `top_k`, else 0 (every label, which is costly). */
  min_prob?: number | null;
  /** `events` alone, `batch`: ten messages a second of five rows, `frame`: a message every 20 ms. */
  tier?: "batch" | "events" | "frame";
  /** Of score rows: JSON, or a binary message with float16 or uint8. */
  encoding?: "f16" | "json" | "u8";
  /** Replay what came after this `seq` first. */
  since?: number | null;
  /** Of the `hello` that `since` is from; another one makes all that is held follow. */
  instance?: string | null;
  /** `final`: settled rows; `provisional`: each row once, as early as it is known; `all`: both. */
  final?: "all" | "final" | "provisional";
  /** Levels and spectrum columns of each stream as well, in binary messages of their own. */
  picture?: boolean;
  /** The live sound of this stream as well, in binary messages of its own, for clients that may listen. */
  audio?: string | null;
}

/** Announces samples for a `push` stream. Binary messages follow: u64 index of the first sample, then mono PCM. */
export interface PushMessage {
  type: "push";
  /** Name of a `push` stream. */
  stream: string;
  /** Samples a second. */
  rate: number;
  /** Only 1. */
  channels?: number;
  /** 16-bit whole numbers or 32-bit floats, little-endian. */
  format?: "f32le" | "s16le";
  /** A secret word of the client's own choice: over a new connection it takes its own place again and counts on. */
  sender?: string;
}

/** Says whether an event that is kept was right; a later mark takes the place of the former. Answer: `marked`. */
export interface MarkMessage {
  type: "mark";
  /** Its `id` at /v1/events: `hello.instance`, `/`, its id. */
  event: string;
  /** `right`, `wrong`, or empty to take a mark back. */
  mark: "" | "right" | "wrong";
  /** With `wrong`: the id of what it was instead, of a pack or your own; empty where nobody knows. */
  label?: string;
}

/**
 * Writes thresholds of a label into the daemon's configuration; the old file is kept. Answer: `adjusted`.
 *
 * Needs the role admin. `GET /v1/thresholds` proposes them.
 */
export interface AdjustMessage {
  type: "adjust";
  /** Id of a label that tells events. */
  label: string;
  /** At which an event begins. */
  enter: number;
  /** Below which it ends; not above `enter`. */
  leave: number;
  /** How long a sound has to last to be one. */
  min_on_ms: number;
}

/**
 * Shows an example of a class, or of what it is not. Answer: `taught`, once it is on the disk.
 *
 * Needs the role admin. One of `event`, `stream` with `from_ns`, and `sound` says which sound is meant; where there
 * is none of them but a `name`, the class is called that from now on.
 */
export interface TeachMessage {
  type: "teach";
  /** Its id; a new one makes a new class. */
  label: string;
  /** For people; left out, it stays, or is made of the id. */
  name?: string;
  /** `is`: this is it; `not`: it was taken for it and is not. */
  said?: "is" | "not";
  /** `id` of a kept event, see `mark`. */
  event?: string;
  /** Name of a stream, of whose last two minutes a moment is meant. */
  stream?: string;
  /** Wall time (ms) at which it begins. */
  from_ms?: number | null;
  /** Wall time (ms) at which it ends; null: half a second later. */
  to_ms?: number | null;
  /** A sound file (FLAC, OGG or WAV) as base64. */
  sound?: string;
  /** The pack on whose embeddings a new class rests; empty: the first that has any. */
  pack?: string;
}

/**
 * Takes back what was taught: a class, or one example of it. Needs the role admin. Answer: `taught`.
 *
 * Refused while a rule names the class and nothing would be left of it.
 */
export interface ForgetMessage {
  type: "forget";
  /** Id of the class. */
  label: string;
  /** Id of one example, see /v1/taught; empty: the class with all of them. */
  example?: string;
}

/** What /v1/events answers. after: the `after` of the next request; more: whether there is more already. */
export interface EventPage {
  events: StoredEvent[];
  after: number;
  more: boolean;
}

/** One event. Frames are its stream's, times UTC in ns since 1970, `peak` and `mean` in [0, 1], levels in dBFS. */
export interface StoredEvent {
  id: string;
  stream: string;
  pack: string;
  pack_hash: string;
  label: string;
  group: string;
  stage: string;
  onset_frame: number;
  offset_frame: number | null;
  onset_ns: number;
  offset_ns: number | null;
  decided_ns: number;
  peak: number;
  mean: number;
  enter: number;
  leave: number;
  min_on_ms: number;
  min_off_ms: number;
  level_db: number | null;
  ended_by: string;
  test: boolean;
  clip: string;
  mark: string;
  mark_label: string;
  seq: number;
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
  | MarkedMessage
  | AdjustedMessage
  | RelabelledMessage
  | TaughtMessage;

/** What a client sends as JSON. */
export type ClientMessage = SubscribeMessage | PushMessage | MarkMessage | AdjustMessage | TeachMessage | ForgetMessage;

// Decoders of `streamclf.v1`: JSON and the binary forms. The messages themselves are in protocol.generated.ts. No DOM.
// Times on the wire are whole nanoseconds, more than a JavaScript number holds exactly; here they are milliseconds.

import type { ServerMessage } from "./protocol.generated";

export * from "./protocol.generated";

export const FRAMES_PER_SECOND = 50;

const NS_PER_MS = 1e6;

/** A JSON message, its `…_ns` turned into `…_ms`. Throws where it is not one; unknown types come through as they are. */
export function decodeText(text: string): ServerMessage {
  const message: unknown = JSON.parse(text);
  if (typeof message !== "object" || message === null) throw new Error("the server sent something that is not a message");
  return inMilliseconds(message) as ServerMessage;
}

/** Any JSON of the daemon's with `…_ns` turned into `…_ms`. */
export function inMilliseconds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inMilliseconds);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) =>
      key.endsWith("_ns")
        ? [`${key.slice(0, -3)}_ms`, typeof item === "number" ? item / NS_PER_MS : item]
        : [key, inMilliseconds(item)],
    ),
  );
}

/** The two letters that a binary message begins with: "SC" scores, "SP" picture, "SA" audio. */
export function magicOf(buffer: ArrayBuffer): string {
  const bytes = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  return String.fromCharCode(...bytes);
}

/** Score rows of one pack on consecutive frames. `stream` and `pack` are indexes into the lists of `hello`. */
export interface ScoreBlock {
  stream: number;
  pack: number;
  channel: number;
  seq: number;
  firstFrame: number;
  final: boolean;
  capturedMs: number;
  decidedMs: number;
  sentMs: number;
  count: number;
  classes: number;
  /** count * classes, row after row: probability * 255. */
  values: Uint8Array;
  /** Index of each column in the pack's labels; null: column i is label i of the channel. */
  columns: Uint16Array | null;
}

const SCORES_HEADER = 64;
const TYPE_U8 = 2;
const FLAG_FINAL = 1;
const FLAG_INDEXED = 2;

/** The "SC" form with u8 values, the only one that the page asks for. `values` looks into the buffer. */
export function decodeScores(buffer: ArrayBuffer): ScoreBlock {
  const view = new DataView(buffer);
  if (buffer.byteLength < SCORES_HEADER || magicOf(buffer) !== "SC" || view.getUint8(2) !== 1)
    throw new Error("these bytes are not a score message");
  if (view.getUint8(3) !== TYPE_U8) throw new Error("this page reads score rows of u8 only");
  const flags = view.getUint8(4);
  const count = view.getUint16(6, true);
  const classes = view.getUint16(8, true);
  const indexed = (flags & FLAG_INDEXED) !== 0;
  const at = SCORES_HEADER + (indexed ? 2 * classes : 0);
  if (buffer.byteLength !== at + count * classes) throw new Error("a score message is not as long as it says");
  return {
    stream: view.getUint16(10, true),
    pack: view.getUint16(12, true),
    channel: view.getUint32(16, true),
    seq: Number(view.getBigUint64(24, true)),
    firstFrame: Number(view.getBigInt64(32, true)),
    final: (flags & FLAG_FINAL) !== 0,
    capturedMs: milliseconds(view, 40),
    decidedMs: milliseconds(view, 48),
    sentMs: milliseconds(view, 56),
    count,
    classes,
    values: new Uint8Array(buffer, at, count * classes),
    columns: indexed ? new Uint16Array(buffer, SCORES_HEADER, classes) : null,
  };
}

function milliseconds(view: DataView, at: number): number {
  return Number(view.getBigInt64(at, true)) / NS_PER_MS;
}

/** Levels and spectrum columns of consecutive frames. Every value is a level of -127.5 dB + value / 2. */
export interface PictureBlock {
  stream: number;
  firstFrame: number;
  count: number;
  bands: number;
  /** Upper end of the highest band (Hz); the bands lie on the HTK mel scale from 50 Hz up to it. */
  highHz: number;
  rms: Uint8Array;
  peak: Uint8Array;
  /** count * bands, column after column, the lowest band first. */
  columns: Uint8Array;
}

const PICTURE_HEADER = 24;

/** The "SP" messages in a buffer, one behind the other. */
export function decodePicture(buffer: ArrayBuffer): PictureBlock[] {
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  const blocks: PictureBlock[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + PICTURE_HEADER > bytes.length || bytes[at] !== 0x53 || bytes[at + 1] !== 0x50 || bytes[at + 2] !== 1)
      throw new Error("these bytes are not a picture message");
    const count = view.getUint16(at + 6, true);
    const bands = view.getUint16(at + 8, true);
    const block: PictureBlock = {
      stream: view.getUint16(at + 4, true),
      firstFrame: Number(view.getBigInt64(at + 16, true)),
      count,
      bands,
      highHz: view.getFloat32(at + 12, true),
      rms: new Uint8Array(count),
      peak: new Uint8Array(count),
      columns: new Uint8Array(count * bands),
    };
    at += PICTURE_HEADER;
    if (at + count * (bands + 2) > bytes.length) throw new Error("a picture message is not as long as it says");
    for (let index = 0; index < count; index++) {
      block.rms[index] = bytes[at]!;
      block.peak[index] = bytes[at + 1]!;
      block.columns.set(bytes.subarray(at + 2, at + 2 + bands), index * bands);
      at += bands + 2;
    }
    blocks.push(block);
  }
  return blocks;
}

/** Consecutive samples of a stream, live. */
export interface SoundBlock {
  stream: number;
  rate: number;
  firstSample: number;
  samples: Int16Array;
}

const SOUND_HEADER = 24;

/** The "SA" form. `samples` looks into the buffer. */
export function decodeSound(buffer: ArrayBuffer): SoundBlock {
  const view = new DataView(buffer);
  if (buffer.byteLength < SOUND_HEADER || magicOf(buffer) !== "SA" || view.getUint8(2) !== 1)
    throw new Error("these bytes are not a sound message");
  const count = view.getUint16(6, true);
  if (buffer.byteLength !== SOUND_HEADER + 2 * count) throw new Error("a sound message is not as long as it says");
  return {
    stream: view.getUint16(4, true),
    rate: view.getUint32(8, true),
    firstSample: Number(view.getBigInt64(16, true)),
    samples: new Int16Array(buffer, SOUND_HEADER, count),
  };
}

/** dB below full scale of a picture's or level's byte. */
export function decibels(value: number): number {
  return -127.5 + value / 2;
}

// The binary messages of `streamclf.v1`. All numbers are little-endian, as every machine with a browser is.

import { StreamclfError } from "./errors.js";

const NS_PER_MS = 1e6;
const VERSION = 1;
const F16 = 1;
const U8 = 2;
const FLAG_FINAL = 1;
const FLAG_INDEXED = 2;
const SCORES_HEADER = 64;
const PICTURE_HEADER = 24;
const SOUND_HEADER = 24;

/** Score rows as they come: `stream` and `pack` are indexes into the lists of `hello`. */
export interface PackedScores {
  stream: number;
  pack: number;
  channel: number;
  seq: number;
  firstFrame: number;
  final: boolean;
  capturedMs: number;
  decidedMs: number;
  sentMs: number;
  /** One probability for each column. */
  rows: number[][];
  /** Index of each column in the pack's labels; null: the columns are the channel's labels. */
  columns: number[] | null;
}

/** Levels and spectrum columns of consecutive frames. `decibels` says what a byte stands for. */
export interface PictureMessage {
  type: "picture";
  stream: string;
  first_frame: number;
  count: number;
  bands: number;
  /** Upper end of the highest band; the bands lie on the HTK mel scale from 50 Hz up to it. */
  high_hz: number;
  rms: Uint8Array;
  peak: Uint8Array;
  /** count * bands, column after column, the lowest band first. */
  columns: Uint8Array;
}

/** Consecutive samples of one stream, live. */
export interface SoundMessage {
  type: "sound";
  stream: string;
  rate: number;
  first_sample: number;
  samples: Int16Array;
}

/** What a binary message is: "SC" scores, "SP" picture, "SA" sound. Throws for another version. */
export function magicOf(buffer: ArrayBuffer): string {
  const [first, second, version] = new Uint8Array(buffer, 0, Math.min(3, buffer.byteLength));
  if (version !== VERSION) throw new StreamclfError(`${buffer.byteLength} bytes are not a message of streamclf.v1`);
  return String.fromCharCode(first!, second!);
}

/** The "SC" form. */
export function decodeScores(buffer: ArrayBuffer): PackedScores {
  const view = headed(buffer, SCORES_HEADER);
  const type = view.getUint8(3);
  const flags = view.getUint8(4);
  const count = view.getUint16(6, true);
  const classes = view.getUint16(8, true);
  const indexed = (flags & FLAG_INDEXED) !== 0;
  const at = SCORES_HEADER + (indexed ? 2 * classes : 0);
  if (type !== F16 && type !== U8) throw new StreamclfError(`score rows of type ${type} are not known here`);
  checkLength(buffer, at + count * classes * (type === F16 ? 2 : 1));
  const value =
    type === F16
      ? (index: number) => half(view.getUint16(at + 2 * index, true))
      : (index: number) => view.getUint8(at + index) / 255;
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
    rows: Array.from({ length: count }, (_, row) =>
      Array.from({ length: classes }, (_, column) => value(row * classes + column)),
    ),
    columns: indexed ? [...new Uint16Array(buffer, SCORES_HEADER, classes)] : null,
  };
}

/** The "SP" form. nameOf: a stream's name by its index. */
export function decodePicture(buffer: ArrayBuffer, nameOf: (index: number) => string): PictureMessage {
  const view = headed(buffer, PICTURE_HEADER);
  const count = view.getUint16(6, true);
  const bands = view.getUint16(8, true);
  const width = bands + 2;
  checkLength(buffer, PICTURE_HEADER + count * width);
  const bytes = new Uint8Array(buffer, PICTURE_HEADER);
  const columns = new Uint8Array(count * bands);
  for (let row = 0; row < count; row++) {
    columns.set(bytes.subarray(row * width + 2, (row + 1) * width), row * bands);
  }
  return {
    type: "picture",
    stream: nameOf(view.getUint16(4, true)),
    first_frame: Number(view.getBigInt64(16, true)),
    count,
    bands,
    high_hz: view.getFloat32(12, true),
    rms: Uint8Array.from({ length: count }, (_, row) => bytes[row * width]!),
    peak: Uint8Array.from({ length: count }, (_, row) => bytes[row * width + 1]!),
    columns,
  };
}

/** The "SA" form. nameOf: a stream's name by its index. */
export function decodeSound(buffer: ArrayBuffer, nameOf: (index: number) => string): SoundMessage {
  const view = headed(buffer, SOUND_HEADER);
  const count = view.getUint16(6, true);
  checkLength(buffer, SOUND_HEADER + 2 * count);
  return {
    type: "sound",
    stream: nameOf(view.getUint16(4, true)),
    rate: view.getUint32(8, true),
    first_sample: Number(view.getBigInt64(16, true)),
    samples: new Int16Array(buffer, SOUND_HEADER, count),
  };
}

/** dB below full scale of a byte of a picture. */
export function decibels(value: number): number {
  return -127.5 + value / 2;
}

function headed(buffer: ArrayBuffer, header: number): DataView {
  if (buffer.byteLength < header) throw new StreamclfError(`${buffer.byteLength} bytes are not a whole message`);
  return new DataView(buffer);
}

function checkLength(buffer: ArrayBuffer, wanted: number): void {
  if (buffer.byteLength !== wanted)
    throw new StreamclfError(`a binary message has ${buffer.byteLength} bytes where it says ${wanted}`);
}

function milliseconds(view: DataView, at: number): number {
  return Number(view.getBigInt64(at, true)) / NS_PER_MS;
}

/** A float16 of a probability: finite. */
function half(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

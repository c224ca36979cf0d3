// The sound of an event: fetched, decoded, played and sought in by WebAudio. No DOM.

import { Failure } from "../view";

export interface Clip {
  bytes: ArrayBuffer;
  kind: string;
  /** null: this browser cannot decode the format. */
  sound: AudioBuffer | null;
}

/** Raises Failure where the daemon has no such clip or does not give it. */
export async function fetchClip(event: string, rate: number, signal: AbortSignal): Promise<Clip> {
  const answer = await fetch(`v1/clip?event=${encodeURIComponent(event)}`, { signal, cache: "no-store" });
  if (!answer.ok) throw new Failure(answer.status, (await answer.text()).trim());
  const bytes = await answer.arrayBuffer();
  const kind = answer.headers.get("Content-Type") ?? "";
  try {
    // decoded at its own rate: a context of another one would resample, and every sample is to be the file's
    const context = new OfflineAudioContext(1, 1, rateOf(bytes) ?? rate);
    // decoding takes the bytes away, and they are wanted for the download
    return { bytes, kind, sound: await context.decodeAudioData(bytes.slice(0)) };
  } catch {
    return { bytes, kind, sound: null };
  }
}

const FLAC = 0x664c6143;
const OGG = 0x4f676753;
const OPUS_RATE = 48_000;

/** Samples a second as the file says; null where it is neither FLAC nor Opus. */
export function rateOf(bytes: ArrayBuffer): number | null {
  if (bytes.byteLength < 21) return null;
  const view = new DataView(bytes);
  if (view.getUint32(0) === OGG) return OPUS_RATE;
  // 20 bits, the first thing of STREAMINFO behind sizes of blocks and frames
  return view.getUint32(0) === FLAC ? view.getUint32(18) >>> 12 : null;
}

const PLAYED_PEAK = 0.5;
const MOST_LIFT = 50;

/** What a quiet clip is played louder by; the file stays as it was captured, and a loud one is played as it is. */
export function lift(sound: AudioBuffer): number {
  let peak = 0;
  for (const value of sound.getChannelData(0)) peak = Math.max(peak, Math.abs(value));
  return peak > 0 ? Math.min(MOST_LIFT, Math.max(1, PLAYED_PEAK / peak)) : 1;
}

/** One sound at a time; `position` goes on while it plays. */
export class Playback {
  private static context: AudioContext | null = null;
  private source: AudioBufferSourceNode | null = null;
  private wanted = false;
  private beganAt = 0;
  private from = 0;

  /** ended: it has come to its end by itself. */
  constructor(
    private readonly sound: AudioBuffer,
    private readonly ended: () => void,
  ) {}

  get seconds(): number {
    return this.sound.duration;
  }

  get playing(): boolean {
    return this.source !== null;
  }

  /** Seconds from the clip's beginning. */
  get position(): number {
    const context = Playback.context;
    if (!this.source || !context) return this.from;
    return Math.min(this.seconds, this.from + context.currentTime - this.beganAt);
  }

  async play(): Promise<void> {
    this.wanted = true;
    const context = (Playback.context ??= new AudioContext());
    await context.resume();
    // it may have been paused meanwhile
    if (!this.wanted) return;
    if (this.from >= this.seconds) this.from = 0;
    this.stop();
    const source = context.createBufferSource();
    source.buffer = this.sound;
    source.connect(new GainNode(context, { gain: lift(this.sound) })).connect(context.destination);
    source.onended = () => {
      // one that was stopped by hand ends as well, later
      if (this.source !== source) return;
      this.source = null;
      this.from = this.seconds;
      this.ended();
    };
    this.beganAt = context.currentTime;
    this.source = source;
    source.start(0, this.from);
  }

  pause(): void {
    this.wanted = false;
    this.from = this.position;
    this.stop();
  }

  async seek(seconds: number): Promise<void> {
    const on = this.playing;
    this.stop();
    this.from = Math.max(0, Math.min(this.seconds, seconds));
    if (on) await this.play();
  }

  private stop(): void {
    const source = this.source;
    this.source = null;
    source?.stop();
  }
}

// What runs on the audio thread, a world of its own: a microphone's samples out, a stream's samples in.

import { Framer } from "./framer";
import { Jitter } from "./jitter";

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new (options: AudioWorkletNodeOptions) => object): void;
declare const currentFrame: number;
declare const sampleRate: number;

/** The browser's own buffers are still filling so long, and what comes through them has holes. */
const SETTLE_S = 0.25;

/** Posts messages of a `push` stream, 20 ms each. A number that is posted to it moves the count on by as much. */
class Capture extends AudioWorkletProcessor {
  private shift = 0;
  private begin = Infinity;
  private readonly framer = new Framer(sampleRate / 50, (message) => this.port.postMessage(message, [message]));

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<number>) => {
      this.shift += data;
    };
  }

  process(inputs: Float32Array[][]): boolean {
    const samples = inputs[0]?.[0];
    if (samples && this.begin === Infinity) this.begin = currentFrame + SETTLE_S * sampleRate;
    if (currentFrame >= this.begin) this.framer.push(samples, currentFrame + this.shift);
    return true;
  }
}

export interface PlayerState {
  /** How much is held back, in ms. */
  heldMs: number;
  playing: boolean;
  dry: number;
}

const TARGET_MS = 200;
const TELL_QUANTA = 64;

/** Plays what is posted to it, and posts a `PlayerState` now and then. */
class Player extends AudioWorkletProcessor {
  private readonly jitter = new Jitter(sampleRate, TARGET_MS);
  private quanta = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<{ first: number; samples: Int16Array }>) =>
      this.jitter.put(data.first, data.samples);
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const out = outputs[0]?.[0];
    if (out) this.jitter.take(out);
    if (++this.quanta % TELL_QUANTA === 0) {
      const { fill, rate, isPlaying, dry } = this.jitter;
      this.port.postMessage({ heldMs: (fill * 1000) / rate, playing: isPlaying, dry } satisfies PlayerState);
    }
    return true;
  }
}

registerProcessor("capture", Capture);
registerProcessor("player", Player);

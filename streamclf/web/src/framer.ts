// Samples of a microphone into messages of a `push` stream: 8 bytes of index, then 16-bit samples. No DOM.

const INDEX_BYTES = 8;
const FULL_SCALE = 32768;

/** The number of the sample that a message begins with. */
export function firstOf(message: ArrayBuffer): number {
  return Number(new DataView(message).getBigUint64(0, true));
}

/** The samples of a message. */
export function samplesOf(message: ArrayBuffer): Int16Array {
  return new Int16Array(message, INDEX_BYTES);
}

/** Pieces of any length in, whole blocks out; what is missing between two pieces is left out, never glued over. */
export class Framer {
  private view: DataView | null = null;
  private held = 0;
  private next = 0;

  /** size: samples in a block. */
  constructor(
    private readonly size: number,
    private readonly emit: (message: ArrayBuffer) => void,
  ) {}

  /** first: number of the first sample. No samples: the microphone gave none. */
  push(samples: Float32Array | undefined, first: number): void {
    if (!samples || first !== this.next) this.flush();
    if (!samples) return;
    for (let index = 0; index < samples.length; index++) {
      if (this.view === null) {
        this.view = new DataView(new ArrayBuffer(INDEX_BYTES + 2 * this.size));
        this.view.setBigUint64(0, BigInt(first + index), true);
      }
      const value = Math.round(samples[index]! * FULL_SCALE);
      this.view.setInt16(INDEX_BYTES + 2 * this.held, Math.max(-FULL_SCALE, Math.min(FULL_SCALE - 1, value)), true);
      if (++this.held === this.size) this.flush();
    }
    this.next = first + samples.length;
  }

  private flush(): void {
    if (this.view === null) return;
    this.emit(this.view.buffer.slice(0, INDEX_BYTES + 2 * this.held) as ArrayBuffer);
    this.view = null;
    this.held = 0;
  }
}

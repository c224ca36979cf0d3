// What a clip looks like: spectrum columns and levels out of its samples. No DOM.

const WINDOW_MS = 32;
const MAX_WINDOW = 4096;

export interface Spectrum {
  columns: number;
  bins: number;
  /** Upper edge of the last bin, Hz. */
  highHz: number;
  /** dB, `bins` of a column one after the other from low to high. */
  values: Float32Array;
  /** Of the values, dB: the loudest, and what is background, which two of five do not exceed. */
  loudest: number;
  quiet: number;
  /** RMS of each column's stretch of samples, dBFS; -Infinity for silence. */
  levels: Float32Array;
}

/** `columns` equal stretches of the samples, each with the spectrum of a window around its middle. */
export function spectrumOf(samples: Float32Array, rate: number, columns: number, highHz: number): Spectrum {
  const size = windowSize(rate);
  const transform = new Transform(size);
  const bins = Math.min(size / 2, Math.ceil((highHz * size) / rate));
  const values = new Float32Array(columns * bins);
  const levels = new Float32Array(columns);
  const power = new Float32Array(size / 2);
  let loudest = -Infinity;
  for (let column = 0; column < columns; column++) {
    const first = Math.floor((column * samples.length) / columns);
    const end = Math.max(first + 1, Math.floor(((column + 1) * samples.length) / columns));
    levels[column] = 10 * Math.log10(meanSquare(samples, first, end));
    transform.power(samples, Math.round((first + end - size) / 2), power);
    for (let bin = 0; bin < bins; bin++) {
      const value = 10 * Math.log10((power[bin] ?? 0) + 1e-12);
      values[column * bins + bin] = value;
      if (value > loudest) loudest = value;
    }
  }
  return { columns, bins, highHz: (bins * rate) / size, values, loudest, quiet: quietOf(values), levels };
}

function quietOf(values: Float32Array): number {
  const some = values.filter((_, at) => at % 7 === 0).sort();
  return some[Math.floor(0.4 * some.length)] ?? 0;
}

/** The power of two next to WINDOW_MS. */
function windowSize(rate: number): number {
  return Math.min(MAX_WINDOW, 2 ** Math.round(Math.log2((rate * WINDOW_MS) / 1000)));
}

function meanSquare(samples: Float32Array, first: number, end: number): number {
  let sum = 0;
  for (let at = first; at < end; at++) sum += (samples[at] ?? 0) ** 2;
  return sum / (end - first);
}

/** Radix-2 FFT of Hann-windowed real samples; its tables are made once for all columns. */
class Transform {
  private readonly window: Float32Array;
  private readonly cosines: Float32Array;
  private readonly sines: Float32Array;
  private readonly order: Uint16Array;
  private readonly re: Float32Array;
  private readonly im: Float32Array;

  constructor(private readonly size: number) {
    const bits = Math.log2(size);
    this.window = Float32Array.from({ length: size }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / size));
    this.cosines = Float32Array.from({ length: size / 2 }, (_, at) => Math.cos((2 * Math.PI * at) / size));
    this.sines = Float32Array.from({ length: size / 2 }, (_, at) => -Math.sin((2 * Math.PI * at) / size));
    this.order = Uint16Array.from({ length: size }, (_, at) => {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= ((at >> bit) & 1) << (bits - 1 - bit);
      return turned;
    });
    this.re = new Float32Array(size);
    this.im = new Float32Array(size);
  }

  /** out: size / 2 powers, 1 for a sine of full scale. Samples beyond either end are silence. */
  power(samples: Float32Array, first: number, out: Float32Array): void {
    const { size, re, im, cosines, sines } = this;
    im.fill(0);
    for (let at = 0; at < size; at++) {
      const from = this.order[at]!;
      re[at] = (samples[first + from] ?? 0) * this.window[from]!;
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let block = 0; block < size; block += 2 * half) {
        for (let at = 0; at < half; at++) {
          const low = block + at;
          const high = low + half;
          const c = cosines[at * step]!;
          const s = sines[at * step]!;
          const real = re[high]! * c - im[high]! * s;
          const imaginary = re[high]! * s + im[high]! * c;
          re[high] = re[low]! - real;
          im[high] = im[low]! - imaginary;
          re[low] = re[low]! + real;
          im[low] = im[low]! + imaginary;
        }
      }
    }
    // a sine of full scale has size / 4 in its bin: half of the energy at each sign, half of it in the window
    const scale = (4 / size) ** 2;
    for (let bin = 0; bin < out.length; bin++) out[bin] = (re[bin]! ** 2 + im[bin]! ** 2) * scale;
  }
}

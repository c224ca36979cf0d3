// A canvas that holds the columns around the view and wraps around: each column is drawn once and then only copied.

const STRIP = 64; // columns put at once
// Columns drawn beyond the right edge: while the view glides over them the canvas is only read, and a browser need not
// copy it before the next change.
const AHEAD = 64;

/** Writes `count` columns from `column` on: pixel (x, y) is pixels[y * stride + x]. */
export type Painter = (pixels: Uint32Array, stride: number, column: number, count: number) => void;

/** Bound: one canvas a little wider than the view (policy: what leaves it is overwritten, and drawn again if wanted). */
export class ColumnRing {
  private readonly canvas = document.createElement("canvas");
  private readonly context = this.canvas.getContext("2d", { alpha: false })!;
  private strip = new ImageData(STRIP, 1);
  private pixels = new Uint32Array(this.strip.data.buffer);
  // columns [low, high) are drawn; of these [dirtyFrom, dirtyTo) are out of date
  private low = 0;
  private high = 0;
  private dirtyFrom = Infinity;
  private dirtyTo = -Infinity;
  private width = 1;
  /** Columns drawn so far, for the measurement. */
  painted = 0;

  constructor(private readonly painter: Painter) {}

  get height(): number {
    return this.canvas.height;
  }

  /** Takes a size in device pixels; another one forgets everything. */
  resize(width: number, height: number): void {
    if (this.width === width && this.canvas.height === height) return;
    this.width = width;
    this.canvas.width = width + AHEAD;
    this.canvas.height = Math.max(1, height);
    this.strip = new ImageData(STRIP, this.canvas.height);
    this.pixels = new Uint32Array(this.strip.data.buffer);
    this.forget();
  }

  /** Draws everything again when it is next seen. */
  forget(): void {
    this.low = this.high = 0;
    this.dirtyFrom = Infinity;
    this.dirtyTo = -Infinity;
  }

  /** Columns [from, to) are out of date. */
  touch(from: number, to: number): void {
    this.dirtyFrom = Math.min(this.dirtyFrom, from);
    this.dirtyTo = Math.max(this.dirtyTo, to);
  }

  /** Whether `show` would draw anything. */
  stale(left: number): boolean {
    const right = left + this.width;
    return left < this.low || right > this.high || (this.dirtyFrom < right && this.dirtyTo > left);
  }

  /** Copies columns from `left` on, as wide as the view, to `target` at height `y`. */
  show(target: CanvasRenderingContext2D, left: number, y: number): void {
    if (this.stale(left)) this.prepare(left, left + this.canvas.width);
    const { width, height } = this.canvas;
    const start = modulo(left, width);
    const first = Math.min(this.width, width - start);
    target.drawImage(this.canvas, start, 0, first, height, 0, y, first, height);
    const rest = this.width - first;
    if (rest > 0) target.drawImage(this.canvas, 0, 0, rest, height, first, y, rest, height);
  }

  private prepare(left: number, right: number): void {
    if (right <= this.low || left >= this.high) {
      this.paint(left, right);
    } else {
      const from = Math.max(left, this.dirtyFrom, this.low);
      const to = Math.min(right, this.dirtyTo, this.high);
      if (from < to) this.paint(from, to);
      if (left < this.low) this.paint(left, this.low);
      if (right > this.high) this.paint(this.high, right);
    }
    this.low = left;
    this.high = right;
    this.dirtyFrom = Infinity;
    this.dirtyTo = -Infinity;
  }

  private paint(from: number, to: number): void {
    const { width, height } = this.canvas;
    this.painted += to - from;
    for (let at = from; at < to; ) {
      const x = modulo(at, width);
      const count = Math.min(STRIP, to - at, width - x);
      this.painter(this.pixels, STRIP, at, count);
      this.context.putImageData(this.strip, x, 0, 0, 0, count, height);
      at += count;
    }
  }
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

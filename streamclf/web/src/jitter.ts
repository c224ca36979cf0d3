// The buffer between a network that is now early, now late, and a loudspeaker that never waits. No DOM.
//
// Samples are laid at their own number, so that a lost one is silence of its length. Reading begins when the buffer
// holds its target, and begins anew when it has run dry. Where the two clocks differ the buffer slowly fills or empties:
// then samples are read up to half a percent faster or slower, between two of them by a cubic, until it holds its target
// again. While it does, they come out exactly as they came in.

const CAPACITY_S = 4;
/** Above this the reader jumps to the target: the page had been asleep. */
const MOST_S = 1.5;
/** How far from the target the fill may wander before the speed changes, and how fast it comes back. */
const SLACK_S = 0.06;
const BEND = 0.005;
/** Of the fill's mean: 20 ms blocks come and go by jerks. */
const MEAN_S = 1;
const FADE = 96;

export class Jitter {
  private readonly ring: Float32Array;
  private readonly target: number;
  private readonly slack: number;
  private readonly meanSteps: number;
  /** Sample number that comes next into the buffer, and out of it, with its fraction. */
  private end = -1;
  private at = 0;
  private playing = false;
  private speed = 1;
  private mean = 0;
  private gain = 0;
  /** Times that it ran dry. */
  dry = 0;

  /** rate: Hz. targetMs: how much is held back. */
  constructor(
    readonly rate: number,
    targetMs: number,
  ) {
    this.ring = new Float32Array(CAPACITY_S * rate);
    this.target = Math.round((targetMs * rate) / 1000);
    this.slack = SLACK_S * rate;
    this.meanSteps = MEAN_S * rate;
  }

  /** Samples held. */
  get fill(): number {
    return Math.max(0, this.end - this.at);
  }

  get isPlaying(): boolean {
    return this.playing;
  }

  /** Takes samples whose first one has this number; what comes too late to be heard is left out. */
  put(first: number, samples: Int16Array): void {
    const missing = first - this.end;
    if (this.end < 0 || missing < -this.ring.length || missing > MOST_S * this.rate) this.begin(first);
    else if (missing > 0) this.silence(first);
    const skip = Math.max(0, this.end - first);
    for (let index = skip; index < samples.length; index++) this.ring[this.slot(first + index)] = samples[index]! / 32768;
    if (missing > 0 && skip === 0) this.fadeIn(first, samples.length);
    this.end = Math.max(this.end, first + samples.length);
    if (this.fill > MOST_S * this.rate) this.jump();
    if (!this.playing && this.fill >= this.target) this.start();
  }

  /** Fills `out` with what comes next, silence where there is nothing. */
  take(out: Float32Array): void {
    this.adapt(out.length);
    for (let index = 0; index < out.length; index++) {
      if (this.playing && this.fill < 2) this.stop();
      if (!this.playing) {
        out[index] = 0;
        continue;
      }
      // the last samples before it runs dry fade, as the first ones do
      const wanted = this.fill <= FADE ? 0 : 1;
      this.gain += Math.max(-1 / FADE, Math.min(1 / FADE, wanted - this.gain));
      out[index] = this.gain * this.read();
      this.at += this.speed;
    }
  }

  private begin(first: number): void {
    this.end = this.at = first;
    this.playing = false;
    this.gain = 0;
  }

  private start(): void {
    this.playing = true;
    this.at = this.end - this.target;
    this.speed = 1;
    this.mean = this.target;
  }

  private stop(): void {
    this.playing = false;
    this.gain = 0;
    this.at = this.end;
    this.dry++;
  }

  private jump(): void {
    this.at = this.end - this.target;
    this.mean = this.target;
    this.gain = 0;
  }

  private adapt(steps: number): void {
    if (!this.playing) return;
    this.mean += (this.fill - this.mean) * Math.min(1, steps / this.meanSteps);
    const over = this.mean - this.target;
    if (this.speed === 1) {
      if (Math.abs(over) > this.slack) this.speed = over > 0 ? 1 + BEND : 1 - BEND;
    } else if (this.speed > 1 ? over <= 0 : over >= 0) {
      this.speed = 1;
      this.at = Math.round(this.at);
    }
  }

  /** Silence from the end up to this number, faded into. */
  private silence(first: number): void {
    for (let step = 1; step <= Math.min(FADE, this.fill - 2); step++)
      this.ring[this.slot(this.end - step)]! *= (step - 1) / FADE;
    for (let number = this.end; number < first; number++) this.ring[this.slot(number)] = 0;
    this.end = first;
  }

  private fadeIn(first: number, count: number): void {
    for (let step = 0; step < Math.min(FADE, count); step++) this.ring[this.slot(first + step)]! *= step / FADE;
  }

  private read(): number {
    const whole = Math.floor(this.at);
    const part = this.at - whole;
    const one = this.ring[this.slot(whole)]!;
    if (part === 0) return one;
    const before = this.ring[this.slot(whole - 1)]!;
    const two = this.ring[this.slot(whole + 1)]!;
    const after = this.ring[this.slot(Math.min(whole + 2, this.end - 1))]!;
    // Catmull and Rom's cubic through the four
    const slope = (two - before) / 2;
    const curve = before - 2.5 * one + 2 * two - after / 2;
    const twist = (after - before) / 2 + 1.5 * (one - two);
    return ((twist * part + curve) * part + slope) * part + one;
  }

  private slot(number: number): number {
    const length = this.ring.length;
    return ((number % length) + length) % length;
  }
}

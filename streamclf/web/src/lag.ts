// How long a sound takes from its capture to this browser, and how far the two clocks are apart. No DOM.

import { Samples } from "./rings";

const KEEP = 512;

/**
 * A message's way lasts received - sent - offset. The least of them is the way of a message that waited nowhere, taken
 * as half a round trip; what remains is how far this device's clock is ahead of the daemon's.
 */
export class Lag {
  /** Of a question and its answer (ms); NaN before the first. */
  roundTripMs = NaN;
  /** Both ends are on one machine, so there is one clock. */
  sameClock = false;
  /** Messages that this page was behind, newest way of one (ms). */
  wayMs = NaN;
  private readonly total = new Samples(KEEP);
  private least = Infinity;

  /** A message with rows that are new now, not replayed. All in ms since 1970. */
  take(receivedMs: number, capturedMs: number, sentMs: number): void {
    this.least = Math.min(this.least, receivedMs - sentMs);
    this.wayMs = receivedMs - sentMs - this.offsetMs;
    this.total.add(receivedMs - capturedMs);
  }

  /** A new connection: the clocks may have been set meanwhile. */
  restart(): void {
    this.least = Infinity;
    this.wayMs = NaN;
    this.total.clear();
  }

  /** How far this device's clock is ahead (ms), an estimate; 0 on one machine. */
  get offsetMs(): number {
    if (this.sameClock || !Number.isFinite(this.least)) return 0;
    return this.least - (Number.isNaN(this.roundTripMs) ? 0 : this.roundTripMs / 2);
  }

  /** Capture to here (ms) below which `share` of the last messages lay; NaN before the first. */
  quantile(share: number): number {
    return this.total.quantile(share) - this.offsetMs;
  }
}

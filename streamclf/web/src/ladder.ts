// How much to ask of the daemon: less as soon as this page cannot keep up, more again after a calm time. Takes values
// and the time, returns the step; no clock of its own.

export const TIERS = ["full", "calm", "events"] as const;
/** full: every row and the picture; calm: the best labels only; events: no rows at all. */
export type Tier = (typeof TIERS)[number];

export interface Load {
  /** Way of the newest row from the daemon to here (ms); NaN where none came. */
  wayMs: number;
  /** Share of the time that went into taking messages. */
  busy: number;
}

const LATE_MS = 1500;
const BUSY = 0.6;
const CALM_LATE_MS = 500;
const CALM_BUSY = 0.3;
const STRIKES = 3;
const REST_MS = 5_000;
const CALM_MS = 60_000;
const CALM_MAX_MS = 600_000;

export class Ladder {
  private level = 0;
  private strikes = 0;
  private calmSinceMs: number | null = null;
  private steppedMs = -Infinity;
  private roseMs = -Infinity;
  private calmMs = CALM_MS;

  get tier(): Tier {
    return TIERS[this.level]!;
  }

  /** Once a second. Returns the new tier where there is one. */
  check(load: Load, nowMs: number): Tier | null {
    const late = load.wayMs > LATE_MS || load.busy > BUSY;
    this.strikes = late ? this.strikes + 1 : 0;
    if (this.strikes >= STRIKES) return this.down(nowMs);
    const calm = !(load.wayMs > CALM_LATE_MS) && load.busy < CALM_BUSY;
    if (!calm || this.level === 0) this.calmSinceMs = null;
    else this.calmSinceMs ??= nowMs;
    return this.calmSinceMs !== null && nowMs - this.calmSinceMs >= this.calmMs ? this.up(nowMs) : null;
  }

  /** The daemon had to drop rows for us. */
  dropped(nowMs: number): Tier | null {
    return this.down(nowMs);
  }

  private down(nowMs: number): Tier | null {
    this.calmSinceMs = null;
    if (this.level === TIERS.length - 1 || nowMs - this.steppedMs < REST_MS) return null;
    // what did not last is not tried again so soon
    this.calmMs = nowMs - this.roseMs < CALM_MS ? Math.min(2 * this.calmMs, CALM_MAX_MS) : CALM_MS;
    this.level++;
    return this.stepped(nowMs);
  }

  private up(nowMs: number): Tier {
    this.level--;
    this.roseMs = nowMs;
    return this.stepped(nowMs);
  }

  private stepped(nowMs: number): Tier {
    this.steppedMs = nowMs;
    this.strikes = 0;
    this.calmSinceMs = null;
    return this.tier;
  }
}

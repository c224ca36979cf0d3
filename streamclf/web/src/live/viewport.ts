// Which frames are seen, and which pixel column each has. Pure arithmetic on the sample clock.
//
// Column c of the whole (endless) picture shows the frames f with floor(f * scale) = c, or, zoomed in, the frame
// floor(c / scale). Counting columns from frame 0 and not from the edge of the view means that a column never changes
// while the view moves, so that it is drawn once.

import { FRAMES_PER_SECOND } from "../protocol";

export const MIN_SPAN = 2 * FRAMES_PER_SECOND;
export const MAX_SPAN = 300 * FRAMES_PER_SECOND;
const ROUNDING = 1e-6; // far below a frame, far above the rounding of a product of frame and scale

/** The first of the frames that column `column` shows. */
export function firstFrameOf(column: number, scale: number): number {
  return scale >= 1 ? Math.floor(column / scale + ROUNDING) : Math.ceil(column / scale - ROUNDING);
}

/** One past the last frame that column `column` shows. */
export function endFrameOf(column: number, scale: number): number {
  return scale >= 1 ? firstFrameOf(column, scale) + 1 : firstFrameOf(column + 1, scale);
}

/** The first column that shows `frame`. */
export function columnOf(frame: number, scale: number): number {
  // zoomed in, a frame begins with the first column that lies wholly behind its start
  return scale >= 1 ? Math.ceil(frame * scale - ROUNDING) : Math.floor(frame * scale + ROUNDING);
}

/** What is seen: `width` columns, the last of which ends at frame `right`. */
export class Viewport {
  width = 1;
  span = 20 * FRAMES_PER_SECOND;
  /** One past the last frame seen; a fraction while it glides. */
  right = 0;
  /** Whether the right edge is now. */
  following = true;

  /** Columns a frame. */
  get scale(): number {
    return this.width / this.span;
  }

  /** First column seen. */
  get left(): number {
    return Math.floor(this.right * this.scale + ROUNDING) - this.width;
  }

  /** First frame seen. */
  get leftFrame(): number {
    return firstFrameOf(this.left, this.scale);
  }

  /** The frame under `x` columns from the left edge. */
  frameAt(x: number): number {
    return firstFrameOf(this.left + Math.floor(x), this.scale);
  }

  /** Columns from the left edge to where `frame` begins; outside of 0..width where it is not seen. */
  xOf(frame: number): number {
    return columnOf(frame, this.scale) - this.left;
  }

  /** The right edge is the newest frame, where the view follows. */
  follow(head: number): void {
    if (this.following) this.right = head;
  }

  /** Moves by `frames` (back in time below 0) within what is held; at the newest frame it follows again. */
  pan(frames: number, oldest: number, newest: number): void {
    const right = this.right + frames;
    this.following = frames > 0 && right >= newest;
    this.right = this.following ? newest : Math.max(right, Math.min(oldest + this.span, newest));
  }

  /** Changes the span by `factor`; the frame `x` columns from the left stays in its place, or now does. */
  zoom(factor: number, x: number): void {
    const pinned = this.right - (this.width - x) / this.scale;
    this.span = Math.min(MAX_SPAN, Math.max(MIN_SPAN, Math.round(this.span * factor)));
    if (!this.following) this.right = pinned + (this.width - x) / this.scale;
  }
}

const TRAIL = 5; // one batch: what the next one fills is never shown empty
const SETTLING = 100; // frames in which a difference has mostly gone

/**
 * The right edge of a view that follows: glides at 50 frames a second though rows come in batches.
 *
 * It runs on the page's clock and is drawn towards `newest - TRAIL` by a share of the difference, so that neither the
 * rhythm of batches nor the drift of two clocks is seen. It never overtakes what has come, and leaps where it is a
 * second off: after a pause, or in a file that is read faster than it sounds.
 */
export class Playhead {
  frame = Number.NaN;
  private lastMs = Number.NaN;

  advance(newest: number, nowMs: number): number {
    const passed = ((nowMs - this.lastMs) * FRAMES_PER_SECOND) / 1000;
    this.lastMs = nowMs;
    const glided = this.frame + passed;
    const behind = newest - TRAIL - glided;
    if (!(Math.abs(behind) <= FRAMES_PER_SECOND)) this.frame = newest;
    else this.frame = Math.max(this.frame, Math.min(newest, glided + behind * Math.min(1, passed / SETTLING)));
    return this.frame;
  }
}

// Columns that the socket did not bring are fetched while the daemon holds them: pictures are never sent twice.

import type { Model, StreamModel } from "../model";
import { decodePicture, FRAMES_PER_SECOND } from "../protocol";
import { gapIn } from "./paint";

const LOOK_MS = 3000;
const HELD_FRAMES = 90 * FRAMES_PER_SECOND; // by the daemon
const FRESH_FRAMES = FRAMES_PER_SECOND; // may be under way

export class Holes {
  private lookedMs = -Infinity;
  private stream: StreamModel | null = null;
  /** What was missing up to here has been asked for; what did not come then does not come again. */
  private asked = -1;

  constructor(
    private readonly model: Model,
    private readonly filled: () => void,
  ) {}

  look(stream: StreamModel, nowMs: number): void {
    if (nowMs - this.lookedMs < LOOK_MS) return;
    this.lookedMs = nowMs;
    if (stream !== this.stream) this.asked = -1;
    this.stream = stream;
    const hole = firstHole(stream, this.asked + 1);
    if (hole < 0) return;
    this.asked = stream.picture.newest;
    void this.fetch(stream, hole);
  }

  private async fetch(stream: StreamModel, from: number): Promise<void> {
    try {
      const answer = await fetch(`v1/picture?stream=${encodeURIComponent(stream.entry.name)}&from=${from}`);
      if (!answer.ok) return;
      for (const block of decodePicture(await answer.arrayBuffer())) this.model.takePicture(block);
      this.filled();
    } catch {
      // the connection says whether the daemon can be reached; a hole stays a hole
    }
  }
}

/** The first frame from `from` on that has no column though one is held before and after it; -1 where there is none. */
function firstHole({ picture, gaps }: StreamModel, from: number): number {
  const last = picture.newest - FRESH_FRAMES;
  for (let frame = Math.max(from, picture.oldest, picture.newest - HELD_FRAMES); frame < last; frame++)
    if (!picture.has(frame) && gapIn(gaps, frame, frame + 1) === null) return frame;
  return -1;
}

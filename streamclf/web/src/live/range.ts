// Between which levels the spectrum's colours are spread: from the noise of the place up to its loudest sounds.

import type { PictureRing } from "../model";
import type { Range } from "./paint";

const LOOKED_AT = 1500; // frames
const EVERY = 10;
const FOOT = 0.5; // share of all values that lie in the dark
const HEAD = 0.999;
const BELOW = 4; // steps of half a decibel
const LEAST = 90;
const CHANGE = 12;

/** The range for what was heard lately; `now` itself where that still fits, so that colours change seldom. */
export function rangeOf(picture: PictureRing, now: Range): Range {
  const counts = new Uint32Array(256);
  let total = 0;
  for (let frame = Math.max(picture.oldest, picture.newest - LOOKED_AT); frame <= picture.newest; frame += EVERY) {
    const column = picture.column(frame);
    if (column === null) continue;
    for (const value of column) counts[value]! += 1;
    total += column.length;
  }
  if (total === 0) return now;
  const low = Math.max(0, quantile(counts, total * FOOT) - BELOW);
  const high = Math.max(quantile(counts, total * HEAD), low + LEAST);
  return Math.abs(low - now.low) < CHANGE && Math.abs(high - now.high) < CHANGE ? now : { low, high };
}

function quantile(counts: Uint32Array, below: number): number {
  let passed = 0;
  for (let value = 0; value < 256; value++) {
    passed += counts[value]!;
    if (passed > below) return value;
  }
  return 255;
}

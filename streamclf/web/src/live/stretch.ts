// The marked stretch, over the picture.

import type { Viewport } from "./viewport";

const EDGE_PX = 2;

/** Frames [from, to). */
export interface Stretch {
  from: number;
  to: number;
}

export function paintStretch(context: CanvasRenderingContext2D, viewport: Viewport, { from, to }: Stretch, ratio: number): void {
  const left = viewport.xOf(from);
  const width = viewport.xOf(to) - left;
  const edge = Math.max(1, Math.round(EDGE_PX * ratio));
  const { height } = context.canvas;
  context.globalAlpha = 0.2;
  context.fillRect(left, 0, width, height);
  context.globalAlpha = 0.9;
  for (const x of [left, left + width - edge]) context.fillRect(x, 0, edge, height);
  context.globalAlpha = 1;
}

// The theme's colours as pixels.

import { blend, colourMap } from "./colours";
import type { Palette } from "./paint";

const LANES = 7;

/** Reads the custom properties in force at `element`. */
export function paletteOf(element: HTMLElement): Palette {
  const probe = document.createElement("span");
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  element.append(probe);
  const read = (name: string): number => {
    // the browser resolves var() and whatever notation the theme is written in
    probe.style.color = `var(--${name})`;
    context.fillStyle = getComputedStyle(probe).color;
    context.fillRect(0, 0, 1, 1);
    return new Uint32Array(context.getImageData(0, 0, 1, 1).data.buffer)[0]!;
  };
  const ground = read("live-ground");
  const ink = read("text");
  const palette = {
    map: colourMap(isDark(ground)),
    ground,
    ink,
    grid: read("line"),
    gap: read("text-faint"),
    rmsInk: blend(ground, ink, 0.55),
    peakInk: blend(ground, ink, 0.25),
    clip: read("bad"),
    lanes: Array.from({ length: LANES }, (_, i) => read(`lane-${i}`)),
  };
  probe.remove();
  return palette;
}

function isDark(pixel: number): boolean {
  return (pixel & 255) + ((pixel >>> 8) & 255) + ((pixel >>> 16) & 255) < 384;
}

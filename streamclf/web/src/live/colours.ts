// Colours of the pictures. A colour is a pixel as ImageData holds it: one little-endian number 0xAABBGGRR.

/** A point of a colour map in OKLCH: lightness 0..1, chroma, hue in degrees. */
type Stop = readonly [lightness: number, chroma: number, hue: number];

// Ink to straw and paper to ink. Lightness runs in even steps from end to end, which is what makes equal differences
// of level look equal; hue and chroma are read off between the stops by lightness.
const DARK: readonly Stop[] = [
  [0.16, 0.03, 275],
  [0.3, 0.11, 285],
  [0.45, 0.17, 322],
  [0.6, 0.18, 8],
  [0.74, 0.15, 48],
  [0.87, 0.12, 85],
  [0.98, 0.06, 105],
];
const LIGHT: readonly Stop[] = [
  [0.985, 0.004, 100],
  [0.9, 0.07, 90],
  [0.78, 0.13, 58],
  [0.62, 0.17, 15],
  [0.46, 0.16, 325],
  [0.3, 0.1, 288],
  [0.17, 0.05, 275],
];

/** 256 pixels for the steps of a level, the quietest first. */
export function colourMap(dark: boolean): Uint32Array {
  const stops = dark ? DARK : LIGHT;
  const from = stops[0]![0];
  const to = stops[stops.length - 1]![0];
  return Uint32Array.from({ length: 256 }, (_, i) => atLightness(stops, from + ((to - from) * i) / 255));
}

function atLightness(stops: readonly Stop[], lightness: number): number {
  let at = 1;
  while (at < stops.length - 1 && between(stops[at - 1]!, stops[at]!, lightness) > 1) at += 1;
  const [one, two] = [stops[at - 1]!, stops[at]!];
  const share = between(one, two, lightness);
  const a = one[1] * cos(one[2]) * (1 - share) + two[1] * cos(two[2]) * share;
  const b = one[1] * sin(one[2]) * (1 - share) + two[1] * sin(two[2]) * share;
  return inGamut(lightness, a, b);
}

function between(one: Stop, two: Stop, lightness: number): number {
  return (lightness - one[0]) / (two[0] - one[0]);
}

function inGamut(lightness: number, a: number, b: number): number {
  for (let chroma = 1; chroma > 0; chroma -= 0.05) {
    const linear = linearOf(lightness, a * chroma, b * chroma);
    if (linear.every((value) => value >= -1e-4 && value <= 1 + 1e-4)) return pixel(linear.map(encoded));
  }
  return pixel(linearOf(lightness, 0, 0).map(encoded));
}

// OKLab to linear sRGB, with the constants of its definition (B. Ottosson, 2020)
function linearOf(lightness: number, a: number, b: number): number[] {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function encoded(linear: number): number {
  const value = Math.min(1, Math.max(0, linear));
  return 255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055);
}

function cos(degrees: number): number {
  return Math.cos((degrees * Math.PI) / 180);
}

function sin(degrees: number): number {
  return Math.sin((degrees * Math.PI) / 180);
}

function pixel(rgb: readonly number[]): number {
  const [red, green, blue] = rgb.map(Math.round) as [number, number, number];
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** `over` laid on `under` with opacity 0..1. */
export function blend(under: number, over: number, opacity: number): number {
  return pixel([0, 8, 16].map((at) => ((under >>> at) & 255) * (1 - opacity) + ((over >>> at) & 255) * opacity));
}

/** A pixel as CSS writes it. */
export function cssOf(value: number): string {
  return `rgb(${value & 255} ${(value >>> 8) & 255} ${(value >>> 16) & 255})`;
}

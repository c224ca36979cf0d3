import { expect, it } from "vitest";

import { spectrumOf } from "./spectrum";

const RATE = 16_000;

it("shows a tone at its height, with its level, where it sounds", () => {
  const samples = Float32Array.from({ length: RATE }, (_, at) =>
    at < RATE / 2 ? 0 : 0.5 * Math.sin((2 * Math.PI * 2000 * at) / RATE),
  );
  const spectrum = spectrumOf(samples, RATE, 100, 8000);
  const column = 75;
  const values = [...spectrum.values.slice(column * spectrum.bins, (column + 1) * spectrum.bins)];
  const loudest = values.indexOf(Math.max(...values));
  expect((loudest * spectrum.highHz) / spectrum.bins).toBeCloseTo(2000, -1);
  expect(values[loudest]).toBeCloseTo(20 * Math.log10(0.5), 0);
  expect(spectrum.levels[column]).toBeCloseTo(20 * Math.log10(0.5) - 3.01, 1);
  expect(spectrum.levels[10]).toBe(-Infinity);
  expect(Math.max(...spectrum.values.slice(10 * spectrum.bins, 11 * spectrum.bins))).toBeLessThan(-100);
});

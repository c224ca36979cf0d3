import { expect, test } from "vitest";
import { Framer, firstOf, samplesOf } from "./framer";

function framed(size: number, pieces: [number, number[] | undefined][]): [number, number[]][] {
  const blocks: [number, number[]][] = [];
  const framer = new Framer(size, (message) => blocks.push([firstOf(message), [...samplesOf(message)]]));
  for (const [first, values] of pieces) framer.push(values && Float32Array.from(values, (v) => v / 32768), first);
  return blocks;
}

test("pieces of any length become whole blocks with the number of their first sample", () => {
  expect(framed(3, [[7, [1, 2]], [9, [3, 4, 5, 6, 7]], [14, [8]]])).toEqual([
    [7, [1, 2, 3]],
    [10, [4, 5, 6]],
  ]);
});

test("a jump, and a time without input, cut a block and leave the missing samples out", () => {
  expect(framed(3, [[0, [1]], [5, [2, 3, 4]], [8, [5]], [9, undefined], [11, [6, 7, 8]]])).toEqual([
    [0, [1]],
    [5, [2, 3, 4]],
    [8, [5]],
    [11, [6, 7, 8]],
  ]);
});

test("what is beyond full scale stays at it, and numbers may be larger than 32 bits", () => {
  expect(framed(3, [[2 ** 40, [40000, -40000, 0.4]]])).toEqual([[2 ** 40, [32767, -32768, 0]]]);
});

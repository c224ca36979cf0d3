import { expect, test } from "vitest";
import { Jitter } from "./jitter";

const RATE = 4000;
const HOP = 80;
const QUANTUM = 32;

function noise(first: number, count = HOP): Int16Array {
  return Int16Array.from({ length: count }, (_, i) => (((first + i) * 7919) % 20011) - 10000);
}

function whole(heard: number[], from: number, count: number): number[] {
  return heard.slice(from, from + count).map((value) => Math.round(value * 32768));
}

/** Plays for some seconds with a loudspeaker whose clock runs `fast` times as fast as the samples'. */
function play(jitter: Jitter, seconds: number, fast = 1, lost: (block: number) => boolean = () => false): number[] {
  const heard: number[] = [];
  let given = 0;
  for (let now = 0; now < seconds * RATE * fast; now += QUANTUM) {
    for (; given * HOP <= now / fast; given++) if (!lost(given)) jitter.put(given * HOP, noise(given * HOP));
    const out = new Float32Array(QUANTUM);
    jitter.take(out);
    for (const value of out) heard.push(value);
  }
  return heard;
}

test("with equal clocks what comes out is what came in, the target later", () => {
  const jitter = new Jitter(RATE, 200);
  const heard = play(jitter, 5);
  const start = heard.findIndex((value) => value !== 0) - 1;
  expect(start / RATE).toBeGreaterThan(0.17);
  expect(start / RATE).toBeLessThan(0.21);
  expect(whole(heard, start + 100, 4 * RATE - 100)).toEqual([...noise(100, 4 * RATE - 100)]);
  expect(jitter.dry).toBe(0);
});

test.each([0.998, 1.002])("a loudspeaker that runs %f times as fast never runs dry nor falls behind", (fast) => {
  const jitter = new Jitter(RATE, 200);
  play(jitter, 120, fast);
  expect(jitter.dry).toBe(0);
  expect(jitter.fill / RATE).toBeGreaterThan(0.1);
  expect(jitter.fill / RATE).toBeLessThan(0.3);
});

test("a lost block is silence of its length, and what follows stands where it belongs", () => {
  const heard = play(new Jitter(RATE, 200), 3, 1, (block) => block === 50 || block === 51);
  const start = heard.findIndex((value) => value !== 0) - 1;
  const hole = heard.slice(start + 50 * HOP, start + 52 * HOP);
  expect(hole.every((value) => value === 0)).toBe(true);
  expect(whole(heard, start + 54 * HOP, HOP)).toEqual([...noise(54 * HOP)]);
});

test("when the network stalls it falls silent, fills up again and goes on", () => {
  const jitter = new Jitter(RATE, 200);
  const heard = play(jitter, 4, 1, (block) => block >= 50 && block < 100);
  expect(jitter.dry).toBe(1);
  expect(jitter.isPlaying).toBe(true);
  expect(heard.slice(-RATE).filter((value) => value === 0).length).toBeLessThan(RATE / 100);
});

test("after a long sleep it is not seconds behind", () => {
  const jitter = new Jitter(RATE, 200);
  for (let block = 0; block < 150; block++) jitter.put(block * HOP, noise(block * HOP));
  expect(jitter.fill / RATE).toBeLessThan(1.5);
});

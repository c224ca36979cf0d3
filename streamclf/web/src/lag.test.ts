import { expect, it } from "vitest";

import { Lag } from "./lag";

it("is from capture to here on one machine", () => {
  const lag = new Lag();
  lag.sameClock = true;
  for (let at = 0; at < 100; at++) lag.take(1000 + at, 1000 - 80, 1000);

  expect(lag.offsetMs).toBe(0);
  expect(lag.quantile(0.5)).toBe(80 + 50);
  expect(lag.quantile(0.99)).toBe(80 + 99);
  expect(lag.wayMs).toBe(99);
});

it("takes another clock's difference out, as the quickest message and half a round trip show it", () => {
  const lag = new Lag();
  const ahead = 5_000;
  lag.roundTripMs = 20;
  for (const way of [10, 30, 200]) lag.take(ahead + 1000 + way, 1000 - 80, 1000);

  expect(lag.offsetMs).toBe(ahead);
  expect(lag.wayMs).toBe(200);
  expect(lag.quantile(0.5)).toBe(80 + 30);
});

it("knows nothing at first, and forgets at a new connection", () => {
  const lag = new Lag();
  expect(lag.quantile(0.5)).toBeNaN();
  lag.take(10, 0, 5);
  lag.restart();
  expect(lag.quantile(0.5)).toBeNaN();
  expect(lag.wayMs).toBeNaN();
});

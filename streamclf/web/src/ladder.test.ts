import { describe, expect, it } from "vitest";

import { Ladder, type Load, type Tier } from "./ladder";

const EASY: Load = { wayMs: 5, busy: 0.05 };
const LATE: Load = { wayMs: 4000, busy: 0.05 };
const BUSY: Load = { wayMs: 5, busy: 0.9 };
const NO_ROWS: Load = { wayMs: NaN, busy: 0 };

/** One check a second; returns [second, tier] of each step. */
function steps(ladder: Ladder, from: number, seconds: number, load: Load): [number, Tier][] {
  const found: [number, Tier][] = [];
  for (let second = from; second < from + seconds; second++) {
    const tier = ladder.check(load, second * 1000);
    if (tier) found.push([second, tier]);
  }
  return found;
}

describe("the ladder", () => {
  it("stays where it keeps up, and a single late moment changes nothing", () => {
    const ladder = new Ladder();
    expect(steps(ladder, 0, 100, EASY)).toEqual([]);
    expect(steps(ladder, 100, 2, LATE)).toEqual([]);
    expect(steps(ladder, 102, 1, EASY)).toEqual([]);
    expect(steps(ladder, 103, 2, LATE)).toEqual([]);
    expect(ladder.tier).toBe("full");
  });

  it.each([LATE, BUSY])("goes down a step at a time while it is behind", (load) => {
    const ladder = new Ladder();
    const down = steps(ladder, 0, 30, load);

    expect(down.map(([, tier]) => tier)).toEqual(["calm", "events"]);
    expect(down[1]![0] - down[0]![0]).toBeGreaterThanOrEqual(5);
  });

  it("goes down at once when the daemon dropped rows", () => {
    const ladder = new Ladder();
    expect(ladder.dropped(0)).toBe("calm");
    expect(ladder.dropped(1000)).toBeNull();
    expect(ladder.dropped(6000)).toBe("events");
    expect(ladder.dropped(60_000)).toBeNull();
  });

  it("comes back a step after each calm minute, also where no rows come", () => {
    const ladder = new Ladder();
    ladder.dropped(0);
    ladder.dropped(6000);
    const up = steps(ladder, 10, 200, NO_ROWS);

    expect(up.map(([, tier]) => tier)).toEqual(["calm", "full"]);
    expect(up[0]![0] - 10).toBe(60);
  });

  it("waits longer before it tries again what did not last, up to ten minutes", () => {
    const ladder = new Ladder();
    ladder.dropped(0);
    let second = 1;
    const waits: number[] = [];
    for (let round = 0; round < 6; round++) {
      const [at] = steps(ladder, second, 700, EASY)[0]!;
      waits.push(at - second);
      ladder.dropped((at + 10) * 1000);
      second = at + 11;
      expect(ladder.tier).toBe("calm");
    }
    expect(waits).toEqual([60, 120, 240, 480, 600, 600]);
  });
});

import { describe, expect, it } from "vitest";

import { composeRule, faultsOf, type Wish } from "./ruletext";

const owl: Wish = {
  name: "owl",
  labels: ["owl", "group:bird"],
  minPeak: 0.6,
  minDurationMs: 1500,
  time: "21:00-05:00",
  cooldownS: 600,
  sinks: ["phone"],
  timezone: "Europe/Berlin",
};

describe("composeRule", () => {
  it("writes every field that was filled in", () => {
    expect(composeRule(owl)).toBe(`[place]
timezone = "Europe/Berlin"

[[rule]]
name = "owl"
labels = ["owl", "group:bird"]
min_peak = 0.6
stage = "confirmed"
min_duration_ms = 1500
time = "21:00-05:00"
cooldown_s = 600
sinks = ["phone"]
`);
  });

  it("leaves out what was not, and quotes what labels may hold", () => {
    const rule = composeRule({
      ...owl,
      labels: ['a "b"\\\n\x7f\ud800'],
      minPeak: null,
      minDurationMs: null,
      time: "",
      cooldownS: null,
      sinks: [],
      timezone: "",
    });
    expect(rule).toBe('[[rule]]\nname = "owl"\nlabels = ["a \\"b\\"\\\\\\n\\u007f\ufffd"]\n');
  });
});

describe("faultsOf", () => {
  it("names each field that a rules file would refuse", () => {
    expect(faultsOf(owl)).toEqual([]);
    expect(faultsOf({ ...owl, name: "the owl", labels: [], time: "21:00-21:00" })).toEqual(["name", "labels", "time"]);
  });
});

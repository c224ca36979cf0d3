// Too many events: thresholds that keep them fewer.

import { fixed, oneOf, percent } from "./words";

export const tooMany = {
  button: "Too many of these",
  key: "Too many of these: find a higher threshold",
  title: (name: string): string => `Too many of “${name}”?`,
  how: "Out of the score log of the last 24 hours comes a threshold that would have kept them few. Whatever was heard then counts as wrong, unless somebody marked it as right.",
  atMost: "Wrong ones on each stream, at most",
  budget: (aDay: number): string => (aDay < 1 ? `${Math.round(aDay * 7)} a week` : aDay === 24 ? "1 an hour" : `${aDay} a day`),
  looking: "Looking through the past day …",
  failed: (reason: string): string => `No threshold could be found: ${reason} Choose how many once more to try again.`,
  notMet: "No threshold keeps to that: they score as high as can be. Allow more, or mark some and teach what it is not.",
  already: (count: number): string => `The threshold in force keeps to that already: ${oneOf(count, "event", "events")} in the past day.`,
  summary: (before: number, after: number, lost: number, gained: number, right: number): string =>
    `The past day would have had ${oneOf(after, "event", "events")} instead of ${before}: ${lost} lost` +
    `${right > 0 ? ` (${right} of them marked as right)` : ""}, ${gained} gained.`,
  begins: "An event begins at",
  ends: "and ends below",
  lasts: "lasts at least",
  expected: "Expected from now on",
  fromTo: (before: string, after: string): string => (before === after ? before : `${before} → ${after}`),
  ms: (value: number): string => `${value} ms`,
  interval: (low: number, high: number): string => `${fixed(low, low < 10 ? 1 : 0)} to ${fixed(high, high < 10 ? 1 : 0)} wrong ones a day`,
  tooLittle: (hours: number): string =>
    `hard to say: ${hours < 1 ? `${Math.round(hours * 60)} min` : `${fixed(hours, 1)} h`} of log ${hours < 1 ? "are" : "is"} too little to tell`,
  picture: (before: number, after: number): string =>
    `The past day: ${oneOf(before, "event", "events")} by the threshold in force, ${after} by the new one`,
  lanes: { before: "now", after: "then" },
  legend: "Each bar is an event: kept, lost (hollow) or gained; a dot marks those that somebody called right.",
  hour: (hour: number): string => `${hour}:00`,
  lost: "Lost",
  gained: "Gained",
  counted: (name: string, count: number): string => `${name}: ${count}`,
  event: (clock: string, stream: string, peak: number, seconds: number): string =>
    `${clock}, ${stream}, ${percent(peak)}, ${fixed(seconds, 1)} s`,
  wasRight: "marked as right",
  apply: "Use this threshold",
  undo: "Put back what was",
  close: "Close",
  away: "This could not be sent: there is no connection to the daemon. Try again when it is back.",
  writing: "Writing it into the configuration …",
  applied: (name: string, enter: number, kept: string): string =>
    `Done: ${name} begins at ${percent(enter)} within two seconds.` +
    `${kept ? ` What was is kept in ${kept}, beside the configuration.` : ""}`,
  undone: "What was holds again.",
  refused: (reason: string): string => `It was not written: ${reason}.`,
};

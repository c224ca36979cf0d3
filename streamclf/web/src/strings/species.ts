// Who was heard here, and the page of one label.

import { oneOf, percent, span } from "./words";

export const species = {
  open: "Who was heard here",
  openOne: "All of this label",
  title: "Heard here",
  back: "All that were heard",
  loading: "Counting what is kept …",
  none: "Nothing that is kept is of this kind yet. What is heard from now on appears here.",
  notKept: "This is counted out of the kept events, and none are kept here.",
  failed: (reason: string): string => `This could not be counted: ${reason} Open it again to try once more.`,
  group: "Group",
  allGroups: "All",
  order: "Order",
  orders: { new: "newest arrival first", last: "heard last first", total: "most often first", name: "by name" },
  count: (count: number): string => oneOf(count, "label", "labels"),
  name: "Label",
  total: "Events",
  days: "Days",
  first: "First heard",
  last: "Last heard",
  best: "Best",
  percent,
  heard: (total: number, days: number, seconds: number, pack: string): string =>
    `${oneOf(total, "event", "events")} on ${oneOf(days, "day", "days")}, ${span(seconds)} in all, by ${pack}`,
  between: (first: string, last: string): string => `First heard ${first}, last heard ${last}.`,
  streams: (list: [string, number][]): string => list.map(([name, count]) => `${name} ${count.toLocaleString()}`).join(", "),
  byHour: "By the hour of the day",
  hoursAre: (most: number, hour: number): string => `Events by the hour; most from ${hour}:00 to ${hour + 1}:00, ${most}`,
  hour: (hour: number, count: number): string => `${hour}:00 to ${hour + 1}:00: ${oneOf(count, "event", "events")}`,
  byDay: "By day, over a year",
  daysAre: (shown: number, whole: number): string =>
    `Heard on ${oneOf(shown, "day", "days")} of the past year${whole > shown ? `, on ${whole} in all` : ""}`,
  day: (day: string, count: number): string => `${day}: ${oneOf(count, "event", "events")}`,
  likely: (now: number): string => `How likely it is at your place through the year; now ${percent(now)}`,
  likelyIs: (most: number, month: string): string => `Most likely in ${month}, ${percent(most)}`,
  clips: "At its best",
  noClips: "No event is left that is not marked as wrong.",
  event: (day: string, clock: string, stream: string, peak: number): string => `${day} ${clock}, ${stream}, ${percent(peak)}`,
  play: (what: string): string => `Play the clip: ${what}`,
  all: "All of its events",
};

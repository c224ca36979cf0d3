// The queue of what would be good to know.

import { oneOf, percent } from "./words";

export const review = {
  title: "Review",
  loading: "Looking for what would be good to know …",
  none: "Events are reviewed where they are kept, and none are kept here ([store] in the configuration).",
  failed: (reason: string): string => `The questions could not be fetched: ${reason} Open this view again to try once more.`,
  empty: "Nothing is waiting: every event of the last week has been answered. What is heard from now on comes here.",
  waiting: (count: number): string =>
    `${oneOf(count, "event", "events")} of the last week could be answered, those first that tell the most. Some answers are enough.`,
  is: (name: string): string => `Is this “${name}”?`,
  when: (day: string, clock: string, stream: string, length: string): string => `${day} ${clock} on ${stream}, for ${length}`,
  why: {
    many: (peak: number, enter: number): string => `It stands for many like it (reached ${percent(peak)}, begins at ${percent(enter)}).`,
    new: (peak: number, enter: number): string => `It sounds unlike what was answered so far (reached ${percent(peak)}, begins at ${percent(enter)}).`,
  },
  noClip: "No clip is kept of it. With [clips] enabled = true events can be heard again.",
  yes: "Yes",
  no: "No",
  skip: "Later",
  counts: (right: number, wrong: number): string => `${right} right, ${wrong} wrong`,
  gain: (now: number, then: number, dropped: number, wrong: number, lost: number, right: number): string =>
    `${percent(now)} → ${percent(then)} drops ${dropped} of ${wrong} wrong ones${right > 0 ? `, and ${lost} of ${right} right ones` : ""}`,
  use: "Use it",
  useFor: (name: string): string => `Use the threshold for ${name}`,
  keys: { right: "Review: yes, it is", wrong: "Review: no, it is not", skip: "Review: later" },
};

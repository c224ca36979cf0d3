import { expect, it } from "vitest";

import { everything } from "./filter";
import { History, type Page } from "./history";
import type { StoredEvent } from "./row";

const NOW_NS = Date.now() * 1e6;

function stored(mark: StoredEvent["mark"], clip: string): StoredEvent {
  return {
    id: "run/1", stream: "mic", pack: "birds", label: "robin", group: "bird", stage: "close", onset_ns: NOW_NS - 1e9,
    offset_ns: NOW_NS, decided_ns: NOW_NS, peak: 0.8, mean: 0.6, enter: 0.5, leave: 0.3, min_on_ms: 0, min_off_ms: 0,
    level_db: null, ended_by: "quiet", clip, mark, mark_label: "", seq: 1,
  };
}

it("keeps a mark that was told while an older answer was on its way", async () => {
  const answers: ((page: Page) => void)[] = [];
  const ask = (): Promise<Page> => new Promise((resolve) => answers.push(resolve));
  const history = new History(everything(), ask, { grown: () => undefined, arrived: () => undefined });
  const answer = (event: StoredEvent): void => answers.shift()!({ events: [event], after: 1, more: false });

  const loaded = history.load();
  answer(stored("", ""));
  await loaded;
  const asked = history.again(0);
  history.mark("run/1", "right", "");
  answer(stored("", "clip.flac"));
  await asked;
  expect(history.get("run/1")).toMatchObject({ mark: "right", clip: "clip.flac" });

  // what is asked for afterwards knows better
  const again = history.again(0);
  answer(stored("", "clip.flac"));
  await again;
  expect(history.get("run/1")!.mark).toBe("");
});

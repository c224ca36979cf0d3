import { describe, expect, it } from "vitest";

import messages from "./messages.json";
import { EventList, Model } from "./model";
import { decodeText, type EventMessage, type HelloMessage, type ScoreBlock } from "./protocol";

const HELLO = decodeText(messages.hello) as HelloMessage;
const OPEN = decodeText(messages.event) as EventMessage;

function block(firstFrame: number, capturedMs: number): ScoreBlock {
  const values = Uint8Array.from([100, 0, 0, 0]);
  return { stream: 0, pack: 0, firstFrame, count: 1, classes: 4, values, columns: null, capturedMs } as ScoreBlock;
}

function greeted(hello: Partial<HelloMessage> = {}): Model {
  const model = new Model();
  model.takeHello({ ...structuredClone(HELLO), ...hello });
  return model;
}

describe("the model", () => {
  it("files rows by the indexes of hello and ignores what hello does not know", () => {
    const model = greeted();
    model.takeScores(block(40, 0));
    model.takeScores({ ...block(41, 0), stream: 9 });

    const stream = model.streams.get("mic")!;
    expect(stream.newestFrame).toBe(40);
    expect(stream.tracks.get("big")!.value(40, 0)).toBeCloseTo(100 / 255);
    expect(model.streams.get("yard")!.newestFrame).toBe(-1);
  });

  it("forgets what a daemon told before it was started anew, and nothing at the same one", () => {
    const model = greeted();
    model.takeScores(block(40, 0));
    model.takeEvent(OPEN);
    const before = model.streams.get("mic");

    model.takeHello(structuredClone(HELLO));
    expect(model.streams.get("mic")).toBe(before);
    expect(model.events.get(OPEN.id)).toEqual(OPEN);
    model.takeHello({ ...structuredClone(HELLO), instance: "another" });
    expect(model.streams.get("mic")!.newestFrame).toBe(-1);
    expect(model.streams.get("mic")!.open.size).toBe(0);
    expect(model.events.get(OPEN.id)).toBeUndefined();
  });

  it("takes a pack that is new, and labels that are other ones, with hello as well", () => {
    const model = greeted();
    const big = model.packs.get("big")!;
    const taught = { ...big, name: "taught", labels: [{ ...big.labels[0]!, id: "kettle" }] };
    model.takeRelabelled({ type: "relabelled", entry: taught, seq: 1 });
    const place = model.hello!.packs.length - 1;
    model.takeScores({ ...block(40, 0), pack: place, classes: 1, values: Uint8Array.from([100]) });
    const track = (): number => model.streams.get("mic")!.tracks.get("taught")!.value(40, model.taughtLabels().findIndex(({ id }) => id === "kettle"));
    expect(track()).toBeCloseTo(100 / 255);

    const more = { ...taught, labels: [{ ...big.labels[0]!, id: "gate" }, ...taught.labels] };
    model.takeHello({ ...structuredClone(HELLO), packs: [...HELLO.packs, more] });
    expect(model.taughtLabels().map(({ id }) => id)).toEqual(["gate", "kettle"]);
    expect(track()).toBeCloseTo(100 / 255);
  });

  it("learns when a stream began, first about, then exactly", () => {
    const hello = structuredClone(HELLO);
    hello.streams[0]!.epoch_ms = 0;
    const model = greeted(hello);
    const stream = model.streams.get("mic")!;
    model.takeScores(block(49, 11_004));
    expect(stream.frameToMs(0)).toBe(10_004);
    model.takeEvent({ ...OPEN, onset_frame: 10, onset_ms: 10_200 });
    expect(stream.frameToMs(0)).toBe(10_000);
    expect(stream.msToFrame(10_050)).toBe(2.5);
  });

  it("holds what is open, and each event's newest stage in the order of onset", () => {
    const model = greeted();
    const stream = model.streams.get("mic")!;
    const later = { ...OPEN, id: "e2", onset_frame: 30, onset_ms: OPEN.onset_ms + 400 };
    model.takeEvent(later);
    model.takeEvent(OPEN);
    model.takeEvent({ ...OPEN, stage: "close", offset_frame: 50 });

    expect(stream.events.map(({ id, stage }) => [id, stage])).toEqual([["e1", "close"], ["e2", "open"]]);
    expect([...stream.open.keys()]).toEqual(["e2"]);
    expect(model.events.newestFirst().map(({ id }) => id)).toEqual(["e2", "e1"]);
  });

  it("knows how a stream is, whatever else is told of it", () => {
    const model = greeted();
    const tell = (state: string, pack = ""): void =>
      model.takeStatus({ type: "status", stream: "mic", pack, state, detail: "why", seq: 1 }, 0);
    const states = ["paused", "resumed", "lost", "missed"].map((state) => {
      tell(state);
      return model.streams.get("mic")!.entry.state;
    });
    tell("problem", "big");

    expect(states).toEqual(["paused", "live", "lost", "lost"]);
    expect(model.streams.get("mic")!.entry.state).toBe("lost");
    expect(model.notes).toHaveLength(5);
  });

  it("turns a gap's samples into frames, once", () => {
    const model = greeted();
    const gap = { type: "gap", stream: "mic", seq: 1, first_sample: 320, last_sample: 959, reason: "lost" } as const;
    model.takeGap(gap);
    model.takeGap(gap);

    expect(model.streams.get("mic")!.gaps).toEqual([{ from: 1, to: 3, reason: "lost" }]);
  });
});

describe("the list of events", () => {
  it("forgets the one that came first when it is full", () => {
    const events = new EventList(2);
    for (const id of ["a", "b", "a", "c"]) events.put({ ...OPEN, id });

    expect([...events.byId.keys()]).toEqual(["b", "c"]);
  });
});

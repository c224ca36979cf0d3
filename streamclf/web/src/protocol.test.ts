// messages.json holds what the daemon's own encoders made; a Python test keeps it so.
import { describe, expect, it } from "vitest";

import messages from "./messages.json";
import { decibels, decodePicture, decodeScores, decodeText, magicOf, type EventMessage, type HelloMessage } from "./protocol";

function bytes(base64: string): ArrayBuffer {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

describe("binary scores", () => {
  it.each([messages.scores, messages.best])("say what the daemon encoded (final: $final)", (kept) => {
    const block = decodeScores(bytes(kept.bytes));

    expect({ ...block, values: [...block.values], columns: block.columns && [...block.columns] }).toEqual({
      stream: 1,
      pack: 2,
      channel: 70_000,
      seq: 2 ** 40,
      firstFrame: -3,
      final: kept.final,
      capturedMs: messages.epochMs,
      decidedMs: messages.epochMs + 32,
      sentMs: messages.epochMs + 40.5,
      count: 2,
      classes: 3,
      values: kept.values,
      columns: kept.columns,
    });
  });

  it("of another type, shortened or of another kind are refused", () => {
    const whole = bytes(messages.scores.bytes);

    expect(() => decodeScores(bytes(messages.half))).toThrow("u8 only");
    expect(() => decodeScores(whole.slice(0, -1))).toThrow("not as long");
    expect(() => decodeScores(whole.slice(0, 20))).toThrow("not a score message");
    expect(() => decodeScores(bytes(messages.picture.bytes))).toThrow("not a score message");
  });
});

describe("binary pictures", () => {
  it("come one behind the other", () => {
    const [first, second] = decodePicture(bytes(messages.picture.bytes));
    const levels = messages.picture.levels;

    expect(first).toMatchObject({ stream: 1, firstFrame: 500, count: 3, bands: 4, highHz: 8000 });
    expect([...first!.rms]).toEqual(levels.map((row) => row[0]));
    expect([...first!.peak]).toEqual(levels.map((row) => row[1]));
    expect([...first!.columns]).toEqual(levels.flatMap((row) => row.slice(2)));
    expect(second).toMatchObject({ stream: 0, firstFrame: 505, count: 1 });
    expect([...second!.columns]).toEqual(levels[0]!.slice(2));
    expect(decibels(255)).toBe(0);
  });

  it("cut short are refused", () => {
    const whole = bytes(messages.picture.bytes);

    expect(() => decodePicture(whole.slice(0, -1))).toThrow("not as long");
    expect(() => decodePicture(whole.slice(0, 10))).toThrow("not a picture message");
    expect(decodePicture(new ArrayBuffer(0))).toEqual([]);
  });
});

describe("text messages", () => {
  it("have milliseconds in place of nanoseconds, at any depth", () => {
    const event = decodeText(messages.event) as EventMessage;
    const hello = decodeText(messages.hello) as HelloMessage;

    expect(event.onset_ms).toBe(messages.epochMs + 200);
    expect(event.offset_ms).toBeNull();
    expect(event).not.toHaveProperty("onset_ns");
    expect(hello.streams[0]!.epoch_ms).toBe(messages.epochMs);
    expect(hello.packs[0]!.labels[2]).toEqual({ id: "bird", name: "Bird", group: "animal", hidden: false, enter: 0.4 });
  });

  it("that are not messages throw", () => {
    expect(() => decodeText("4")).toThrow("not a message");
    expect(() => decodeText("{")).toThrow();
  });

  it("are told from binary ones by two letters", () => {
    expect(magicOf(bytes(messages.scores.bytes))).toBe("SC");
    expect(magicOf(bytes(messages.picture.bytes))).toBe("SP");
    expect(magicOf(new ArrayBuffer(0))).toBe("");
  });
});

// Decoding what the daemon's own encoders made, and addresses. STREAMCLF_TEST_MESSAGES names the file of messages.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { parseAddress, withToken } from "../dist/address.js";
import { ageMs } from "../dist/index.js";
import { decibels, decodePicture, decodeScores, decodeSound, magicOf } from "../dist/binary.js";
import { Reader } from "../dist/reader.js";

const FILE = process.env.STREAMCLF_TEST_MESSAGES;
const messages = FILE ? JSON.parse(readFileSync(FILE, "utf8")) : {};
const bytes = (base64) => new Uint8Array(Buffer.from(base64, "base64")).buffer;
const nameOf = (index) => `stream ${index}`;

describe("binary messages", { skip: FILE ? false : "STREAMCLF_TEST_MESSAGES is not set" }, () => {
  it("of u8 rows say what the daemon encoded", () => {
    for (const kept of [messages.scores, messages.best]) {
      const { rows, ...scores } = decodeScores(bytes(kept.bytes));
      assert.deepEqual(rows.flat(), kept.values.map((value) => value / 255));
      assert.deepEqual(scores, {
        stream: 1,
        pack: 2,
        channel: 70_000,
        seq: 2 ** 40,
        firstFrame: -3,
        final: kept.final,
        capturedMs: messages.epochMs,
        decidedMs: messages.epochMs + 32,
        sentMs: messages.epochMs + 40.5,
        columns: kept.columns,
      });
    }
  });

  it("of f16 rows are exact to three digits", () => {
    const { rows } = decodeScores(bytes(messages.half));
    const wanted = [0, 1, 0.5, 0.2, 0.25, 0.75];
    assert.equal(rows.length, 2);
    rows.flat().forEach((value, index) => assert.ok(Math.abs(value - wanted[index]) < 1e-4, `${value}`));
  });

  it("of pictures have a level for each band", () => {
    const whole = bytes(messages.picture.bytes);
    const levels = messages.picture.levels;
    const picture = decodePicture(whole.slice(0, 24 + levels.length * levels[0].length), nameOf);
    assert.equal(picture.stream, "stream 1");
    assert.equal(picture.first_frame, 500);
    assert.deepEqual([...picture.rms], levels.map((row) => row[0]));
    assert.deepEqual([...picture.peak], levels.map((row) => row[1]));
    assert.deepEqual([...picture.columns], levels.flatMap((row) => row.slice(2)));
    assert.equal(decibels(255), 0);
  });

  it("of sound have samples", () => {
    const sound = decodeSound(bytes(messages.sound.bytes), nameOf);
    assert.deepEqual({ ...sound, samples: [...sound.samples] }, {
      type: "sound",
      stream: "stream 1",
      rate: 16_000,
      first_sample: 4_800,
      samples: messages.sound.samples,
    });
  });

  it("that are cut short, of another kind or another version are refused", () => {
    const whole = bytes(messages.scores.bytes);
    assert.throws(() => decodeScores(whole.slice(0, -1)), /where it says/);
    assert.throws(() => decodeScores(whole.slice(0, 20)), /not a whole message/);
    assert.throws(() => magicOf(new Uint8Array([83, 67, 9]).buffer), /not a message of streamclf.v1/);
    assert.throws(() => new Reader().take(new Uint8Array([1, 2, 1]).buffer), /not known here/);
    assert.throws(() => new Reader().take(whole), /fit the packs/);
  });

  it("of JSON have milliseconds, and begin with hello", () => {
    const reader = new Reader();
    assert.throws(() => reader.take(messages.event), /check the address/);
    assert.throws(() => reader.take("[]"), /not a message of streamclf/);
    assert.throws(() => reader.take("what?"), /not a message of streamclf/);
    assert.equal(reader.take(messages.hello).streams[0].epoch_ms, messages.epochMs);
    const event = reader.take(messages.event);
    assert.equal(event.onset_ms, messages.epochMs + 200);
    assert.equal(event.offset_ms, null);
    assert.equal(reader.seq, event.seq);
    assert.equal(reader.take(messages.event), null, "what was had before");
  });
});

describe("an address", () => {
  for (const [text, url, token] of [
    ["birds.local", "ws://birds.local:8765/v1"],
    ["birds.local:80", "ws://birds.local/v1"],
    ["[::1]:9000", "ws://[::1]:9000/v1"],
    ["http://birds.local/", "ws://birds.local/v1"],
    ["https://birds.local/garden/?token=a%2Fb", "wss://birds.local/garden/v1", "a/b"],
    ["ws://127.0.0.1:8765/v1", "ws://127.0.0.1:8765/v1"],
  ]) {
    it(`may be ${text}`, () => assert.deepEqual(parseAddress(text), { url, token: token ?? null }));
  }

  it("of another kind is refused", () => {
    assert.throws(() => parseAddress("ftp://birds.local"), /begins with ftp:/);
    assert.throws(() => parseAddress("two words"), /cannot be used/);
    assert.throws(() => parseAddress(""), /cannot be used/);
  });

  it("takes a token along that cannot be a subprotocol", () => {
    assert.deepEqual(withToken("ws://a/v1", "p", null), ["ws://a/v1", ["p"]]);
    assert.deepEqual(withToken("ws://a/v1", "p", "secret"), ["ws://a/v1", ["p", "token.secret"]]);
    assert.deepEqual(withToken("ws://a/v1", "p", "a/b="), ["ws://a/v1?token=a%2Fb%3D", ["p"]]);
  });
});

describe("age", () => {
  it("is from the newest sample to now", () => {
    assert.equal(ageMs({ captured_ms: 1000.5 }, 1250), 249.5);
    assert.ok(Math.abs(ageMs({ captured_ms: Date.now() })) < 60_000);
  });
});

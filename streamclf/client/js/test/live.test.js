// The client and a real daemon.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Client, StreamclfError } from "../dist/index.js";
import { Proxy, collect, consecutive, control, framesIn, noDaemon, rowsIn, until } from "./support.js";

const quiet = { onWait: () => {} };

describe("a client of a real daemon", { skip: noDaemon, timeout: 180_000 }, () => {
  let address;
  const proxies = [];

  /** The address of a new proxy before the daemon, and the proxy. */
  async function behind(cuts) {
    const { port } = await control("/");
    const proxy = new Proxy(port, cuts);
    proxies.push(proxy);
    return [await proxy.listen(), proxy];
  }

  before(async () => {
    address = `127.0.0.1:${(await control("/")).port}`;
  });
  after(() => proxies.forEach((proxy) => proxy.close()));

  it("gets the same rows in every encoding", async () => {
    const wishes = ["json", "f16", "u8"].flatMap((encoding) => [{ encoding }, { encoding, top_k: 2 }]);
    const got = await Promise.all(
      wishes.map((wish) =>
        collect(new Client(address, { tier: "frame", since: 0, ...wish }), (got) => rowsIn(got).length === 40),
      ),
    );

    const exact = new Map(rowsIn(got[0]).map((row) => [row.first_frame, row]));
    for (const messages of got) {
      assert.deepEqual(messages.slice(0, 2).map((message) => message.type), ["hello", "subscribed"]);
      const compared = rowsIn(messages).filter((row) => exact.has(row.first_frame));
      assert.ok(compared.length > 10);
      for (const row of compared) {
        const { labels, rows, seq, captured_ms } = exact.get(row.first_frame);
        assert.deepEqual([row.seq, row.captured_ms], [seq, captured_ms]);
        row.labels.forEach((label, column) => {
          const [value, wanted] = [row.rows[0][column], rows[0][labels.indexOf(label)]];
          assert.ok(Math.abs(value - wanted) <= 0.5 / 255 + 1e-6, `${label}: ${value}, ${wanted}`);
        });
      }
    }
  });

  it("gets spectra where it asks for them", async () => {
    const client = new Client(address, { tier: "events", picture: true });
    const got = await collect(client, (got) => got.some((message) => message.type === "picture"));

    const picture = got.at(-1);
    assert.equal(picture.stream, client.hello.streams[0].name);
    assert.equal(picture.columns.length, picture.count * picture.bands);
  });

  it("cut anywhere resumes without a hole or a duplicate", async () => {
    const [proxied, proxy] = await behind([0, 100, 1500, 2600, 3001, 4444, 2222, 3003]);
    const waits = [];
    const client = new Client(proxied, { tier: "frame", onWait: (why, delayMs) => waits.push({ why, delayMs }) });

    const got = await collect(client, (got) => framesIn(got).length >= 150 && proxy.connections > 8);

    const frames = framesIn(got);
    assert.ok(consecutive(frames), `${frames}`);
    assert.ok(!got.some((message) => message.type === "lagged"));
    assert.equal(waits.length, proxy.connections - 1);
    assert.ok(waits.every(({ delayMs }) => delayMs >= 100 && delayMs <= 10_000));
    assert.match(waits[0].why, /is `streamclf run` up there/);
  });

  it("leaves in the middle of a loop, and what follows begins there", async () => {
    const [proxied, proxy] = await behind();
    const client = new Client(proxied, { tier: "frame", since: 0, ...quiet });

    const first = await collect(client, (got) => rowsIn(got).length === 5);
    await until(() => proxy.open === 0);
    const second = await collect(client, (got) => rowsIn(got).length === 5);
    const third = await collect(new Client(proxied, { ...place(client), tier: "frame" }), (got) => rowsIn(got).length);

    assert.ok(consecutive(framesIn([...first, ...second, ...third])));
    await until(() => proxy.open === 0);
  });

  const place = ({ seq: since, instance }) => ({ since, instance });

  it("leaves while it waits for the next message", async () => {
    const [proxied, proxy] = await behind();
    const messages = new Client(proxied, { tier: "events", labels: ["loud"] })[Symbol.asyncIterator]();
    assert.equal((await messages.next()).value.type, "hello");
    assert.equal((await messages.next()).value.type, "subscribed");
    const next = messages.next();

    assert.deepEqual(await messages.return(), { done: true, value: undefined });
    assert.deepEqual(await next, { done: true, value: undefined });
    assert.deepEqual(await messages.next(), { done: true, value: undefined });
    await until(() => proxy.open === 0);
  });

  it("that is stopped by a signal throws its reason, also while it waits to try again", async () => {
    const stopped = new AbortController();
    const reason = new Error("enough");
    const live = collect(new Client(address, { signal: stopped.signal }), (got) => {
      if (got.length === 3) stopped.abort(reason);
      return false;
    });
    await assert.rejects(live, reason);
    await assert.rejects(collect(new Client(address, { signal: stopped.signal })), reason);

    const waiting = new AbortController();
    const onWait = () => setTimeout(() => waiting.abort(reason), 0);
    await assert.rejects(collect(new Client("127.0.0.1:1", { signal: waiting.signal, onWait })), reason);
  });

  it("gives a dead connection up, and a quiet one not", async () => {
    const [proxied, proxy] = await behind();
    const waits = [];
    const options = { silentMs: 500, onWait: (why) => waits.push(why) };
    const got = await collect(new Client(proxied, { tier: "frame", ...options }), (got) => {
      if (got.length === 5) proxy.stop();
      return waits.length > 0 && got.length > 10;
    });
    assert.match(waits[0], /has fallen silent/);
    assert.ok(consecutive(framesIn(got)));

    const ended = new AbortController();
    setTimeout(() => ended.abort(), 2_000);
    const calm = [];
    const events = new Client(address, { tier: "events", labels: ["loud"], ...options, signal: ended.signal });
    await assert.rejects(collect(events, (got) => void (calm.push(...got.splice(0)))), { name: "AbortError" });
    assert.equal(waits.length, 1);
    assert.deepEqual(calm.map((message) => message.type), ["hello", "subscribed"]);
  });

  it("over a restart of the daemon tells of it, and misses no frame of either", async () => {
    const client = new Client(address, { tier: "frame", since: 0, ...quiet });
    const newest = (got) => got.findLastIndex((message) => message.type === "hello");
    let restarted = null;
    const got = await collect(client, (got) => {
      if (framesIn(got).length === 20) restarted = control("/restart");
      return rowsIn(got.slice(newest(got))).length === 20 && newest(got) > 0;
    });
    await restarted;

    const at = newest(got);
    const [before, [hello, subscribed, lagged, ...rest]] = [got.slice(0, at), got.slice(at)];
    assert.notEqual(hello.instance, before[0].instance);
    assert.equal(client.instance, hello.instance);
    assert.equal(subscribed.type, "subscribed");
    assert.deepEqual([lagged.type, lagged.reason], ["lagged", "restart"]);
    assert.ok(consecutive(framesIn(before)));
    assert.ok(consecutive(framesIn(rest)));
    assert.equal(framesIn(rest)[0], 0, "the new daemon's first frame");
  });

  it("that lets too much wait asks for the rest again", async () => {
    const { port } = await control("/fast");
    const proxy = new Proxy(port);
    proxies.push(proxy);
    const waits = [];
    const client = new Client(await proxy.listen(), { tier: "frame", since: 0, onWait: (why) => waits.push(why) });
    const messages = client[Symbol.asyncIterator]();
    const got = [(await messages.next()).value];
    await until(() => proxy.open === 0);

    while (framesIn(got.slice(-1)).at(-1) !== 5_999) got.push((await messages.next()).value);
    await messages.return();

    assert.match(waits.at(-1), /4096 messages .* wait to be taken/);
    assert.deepEqual(framesIn(got), Array.from({ length: 6_000 }, (_, frame) => frame));
  });

  it("is told at once what cannot be", async () => {
    const refused = (address, options) => assert.rejects(collect(new Client(address, options), () => false), StreamclfError);
    await refused(address, { labels: ["laud"] });
    // what TypeScript would not let through is refused as well, not waited on for ever
    await assert.rejects(collect(new Client(address, { tier: "evnts" }), () => false), /tier is 'evnts'; expected one of batch/);
    await assert.rejects(collect(new Client(address, { topK: 3 }), () => false), /unknown field 'topK'; did you mean 'top_k'/);
    await refused("127.0.0.1:1", { reconnect: false });
    const client = new Client(address);
    const messages = client[Symbol.asyncIterator]();
    await messages.next();
    await assert.rejects(client[Symbol.asyncIterator]().next(), /iterated over already/);
    await messages.return();
    const { WebSocket } = globalThis;
    globalThis.WebSocket = undefined;
    assert.throws(() => new Client(address), /no WebSocket here/);
    globalThis.WebSocket = WebSocket;
    await collect(new Client(address, { WebSocket }), () => true);
  });

  it("needs the right token", async () => {
    const { port } = await control("/guarded");
    const guarded = `127.0.0.1:${port}`;
    for (const options of [{ token: "very-secret-token/=" }, {}]) {
      const query = options.token ? "" : "/?token=very-secret-token/%3D";
      const [hello] = await collect(new Client(`http://${guarded}${query}`, options), () => true);
      assert.equal(hello.type, "hello");
    }
    await assert.rejects(collect(new Client(guarded, { token: "wrong", reconnect: false })), /is `streamclf run` up/);
  });
});

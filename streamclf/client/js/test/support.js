// What the tests share: the daemon that whoever runs them holds up, and a proxy that cuts connections.
import { connect, createServer } from "node:net";

/** Address of a server that answers with the daemon's port, and restarts it at /restart; unset without a daemon. */
const CONTROL = process.env.STREAMCLF_TEST_CONTROL;
export const noDaemon = CONTROL ? false : "needs a daemon; run pytest tests/e2e/test_js_client.py";

/** What the control server answers to `path`. */
export async function control(path) {
  const answer = await fetch(`${CONTROL}${path}`);
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
}

/** Messages of `client` until `enough(got)`. */
export async function collect(client, enough) {
  const got = [];
  for await (const message of client) {
    got.push(message);
    if (enough(got)) break;
  }
  return got;
}

export const rowsIn = (messages) => messages.filter((message) => message.type === "scores");

/** Frames of rows in the order in which they came. */
export const framesIn = (messages) =>
  rowsIn(messages).flatMap((message) => message.rows.map((_, index) => message.first_frame + index));

/** Whether each frame is the one after that before it. */
export const consecutive = (frames) => frames.every((frame, index) => index === 0 || frame === frames[index - 1] + 1);

/** Forwards to `port`. Each connection ends after the next number of bytes in `cuts`; those beyond never. */
export class Proxy {
  connections = 0;
  open = 0;
  /** Forward nothing any more, and close nothing, of the connections that are open. */
  stop = () => {};

  constructor(port, cuts = []) {
    this.server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      let left = cuts[this.connections++] ?? Infinity;
      this.open++;
      const end = () => {
        near.destroy();
        far.destroy();
      };
      const forward = (data) => {
        near.write(data.subarray(0, left));
        left -= data.length;
        if (left <= 0) near.end(end);
      };
      far.on("data", forward);
      near.on("data", (data) => far.write(data));
      near.on("close", () => {
        this.open--;
        end();
      });
      far.on("close", end);
      for (const socket of [near, far]) socket.on("error", end);
      const stopEarlier = this.stop;
      this.stop = () => {
        stopEarlier();
        far.off("data", forward).resume();
      };
    });
  }

  /** The address to connect to. */
  async listen() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${this.server.address().port}`;
  }

  close() {
    this.server.close();
  }
}

/** Resolves once `met()`. */
export async function until(met) {
  while (!met()) await new Promise((resolve) => setTimeout(resolve, 10));
}

// Keeps every event that a daemon keeps, as lines of a file: none missing, none twice, whoever is started again.
//
// How to run it:
//
//     node examples/follow_events.mjs events.ndjson http://127.0.0.1:8765
//
// A token is taken from STREAMCLF_TOKEN. Each message of /v1/live is an event and has a number, its `seq`. What makes it
// safe is that the number reached is in the file itself: it is that of the last whole line. A line that a crash has cut
// off is taken away, and comes again. Each later stage of an event is a line of its own.
//
// In a page, `new EventSource("http://127.0.0.1:8765/v1/live?after=" + reached)` does the same as `messages` here, and
// comes back by itself; the number is `message.lastEventId`.

import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";

const [file, daemon = "http://127.0.0.1:8765"] = process.argv.slice(2);
const RETRY_MS = 1000;

/** The number reached, and a file that ends with a whole line. */
function reached() {
  if (!existsSync(file)) return 0;
  const bytes = readFileSync(file);
  const whole = bytes.lastIndexOf("\n") + 1;
  if (whole < bytes.length) truncateSync(file, whole);
  const last = bytes.subarray(0, whole).toString().trimEnd().split("\n").at(-1);
  return last ? JSON.parse(last).seq : 0;
}

/** [type, text] of each message after that number, until the connection ends. */
async function* messages(after) {
  const token = process.env.STREAMCLF_TOKEN;
  const answer = await fetch(`${daemon}/v1/live?after=${after}`, {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  });
  if (!answer.ok) {
    const said = (await answer.text()).trim();
    if (answer.status < 500) process.exit(console.error(`the daemon refused: ${said}`) ?? 1);
    return;
  }
  let rest = "";
  for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + part).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.data) yield [fields.event ?? "message", fields.data];
    }
  }
}

for (;;) {
  try {
    for await (const [type, text] of messages(reached())) {
      if (type === "message") appendFileSync(file, `${text}\n`); // as it came: times have more digits than a number here
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // fetch says TypeError while the daemon is being started again
  }
  await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

"use strict";
// Lists what is heard now. Names of labels, packs, streams and sources are untrusted: they go into textContent only.

const TOP = 8;
const EVENTS_KEPT = 100;
const STALE_MS = 3000;
const BAD_STATES = new Set(["lost", "problem", "reconnecting", "paused"]);

const linkLine = document.getElementById("link");
const demoBanner = document.getElementById("demo");
const streamsBox = document.getElementById("streams");
const eventList = document.getElementById("events");
const quiet = document.getElementById("quiet");

let labelNames = new Map(); // pack -> Map(label id -> name)
let cards = new Map(); // stream -> {state, packs: Map(pack -> list)}
let openEvents = new Map(); // event id -> li
let lastScores = 0;
let retryMs = 500;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function takeToken() {
  const query = new URLSearchParams(location.search);
  const given = query.get("token");
  if (given) {
    // keep it out of the address bar, of bookmarks and of screenshots
    sessionStorage.setItem("token", given);
    query.delete("token");
    const rest = query.toString();
    history.replaceState(null, "", location.pathname + (rest ? "?" + rest : ""));
  }
  return sessionStorage.getItem("token");
}

const token = takeToken();

function connect() {
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const protocols = token ? ["streamclf.v1", "token." + token] : ["streamclf.v1"];
  const socket = new WebSocket(scheme + location.host + "/v1", protocols);
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "subscribe", tier: "batch", top_k: TOP, final: "provisional" }));
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    const take = handlers.get(message.type);
    if (take) take(message);
  };
  socket.onclose = (event) => {
    say("not connected" + (event.reason ? ": " + event.reason : "") + "; trying again", true);
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, 10000);
  };
}

function say(text, bad) {
  linkLine.textContent = text;
  linkLine.classList.toggle("bad", Boolean(bad));
}

function takeHello(hello) {
  retryMs = 500;
  say("connected, streamclf " + hello.version, false);
  labelNames = new Map(hello.packs.map((pack) => [pack.name, new Map(pack.labels.map((l) => [l.id, l.name]))]));
  openEvents = new Map();
  cards = new Map();
  streamsBox.replaceChildren();
  for (const stream of hello.streams) {
    const box = element("article", "card");
    box.append(element("h2", "", stream.name));
    const state = element("p", "state");
    box.append(state, element("p", "state", stream.source + ", " + stream.rate + " Hz"));
    const packs = new Map();
    for (const pack of stream.packs) {
      const list = element("ol", "scores");
      box.append(element("h3", "", pack), list);
      packs.set(pack, list);
    }
    streamsBox.append(box);
    cards.set(stream.name, { state, packs });
    showState(stream.name, stream.state, stream.detail);
  }
  const demos = hello.streams.filter((stream) => stream.demo).map((stream) => stream.name);
  demoBanner.hidden = demos.length === 0;
  demoBanner.textContent = "DEMO: " + demos.join(", ") + " is a recording in a loop, not what can be heard here.";
}

function showState(name, state, detail) {
  const card = cards.get(name);
  if (!card) return;
  card.state.textContent = state + (detail ? ": " + detail : "");
  card.state.classList.toggle("bad", BAD_STATES.has(state));
}

function labelName(pack, id) {
  const names = labelNames.get(pack);
  return (names && names.get(id)) || id;
}

function takeScores(scores) {
  const card = cards.get(scores.stream);
  const list = card && card.packs.get(scores.pack);
  if (!list) return;
  lastScores = performance.now();
  while (list.children.length > scores.labels.length) list.lastElementChild.remove();
  scores.labels.forEach((id, index) => {
    let line = list.children[index];
    if (!line) {
      line = element("li");
      const bar = element("div", "bar");
      bar.append(element("i"));
      line.append(element("span", "name"), bar, element("span", "value"));
      list.append(line);
    }
    const best = Math.max(...scores.rows.map((row) => row[index]));
    const [name, bar, value] = line.children;
    const text = labelName(scores.pack, id);
    if (name.textContent !== text) {
      name.textContent = text;
      name.title = text;
    }
    bar.firstElementChild.style.transform = "scaleX(" + best.toFixed(4) + ")";
    value.textContent = (best * 100).toFixed(0) + " %";
  });
  const age = Date.now() - scores.captured_ns / 1e6;
  say("live, " + Math.max(0, age).toFixed(0) + " ms after the sound", false);
}

function addLine(className, atMs, title, detail) {
  const line = element("li", className);
  const clock = element("time", "", new Date(atMs).toLocaleTimeString());
  clock.dateTime = new Date(atMs).toISOString();
  line.append(clock, element("b", "", title), element("span", "", detail));
  eventList.prepend(line);
  while (eventList.children.length > EVENTS_KEPT) eventList.lastElementChild.remove();
  quiet.hidden = true;
  return line;
}

function takeEvent(event) {
  let line = openEvents.get(event.id);
  if (!line) {
    line = addLine("open", event.onset_ns / 1e6, labelName(event.pack, event.label), event.stream);
    openEvents.set(event.id, line);
  }
  const frames = event.offset_frame === null ? null : event.offset_frame - event.onset_frame;
  const length = frames === null ? "now" : (frames / 50).toFixed(2) + " s";
  line.lastElementChild.textContent = event.stream + ", " + length + ", peak " + (event.peak * 100).toFixed(0) + " %";
  if (event.stage === "close") {
    line.className = "";
    openEvents.delete(event.id);
  }
}

function takeStatus(status) {
  if (!status.pack) showState(status.stream, status.state, status.detail);
  addLine("note", Date.now(), status.state, [status.stream, status.pack, status.detail].filter(Boolean).join(", "));
}

const handlers = new Map([
  ["hello", takeHello],
  ["scores", takeScores],
  ["event", takeEvent],
  ["status", takeStatus],
  ["gap", (gap) => addLine("note", Date.now(), "gap", gap.stream + ", " + gap.reason)],
  ["lagged", (lagged) => addLine("note", Date.now(), "lagged", lagged.dropped + " missed, " + lagged.reason)],
  ["error", (error) => say(error.message, true)],
]);

setInterval(() => {
  if (lastScores && performance.now() - lastScores > STALE_MS && !linkLine.classList.contains("bad")) {
    say("connected, but nothing has come for " + Math.round((performance.now() - lastScores) / 1000) + " s", true);
  }
}, 1000);

connect();

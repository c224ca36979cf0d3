// The pieces of an answer to "why": an event with what each rule said of it, and labels that came near.

import { element, icon } from "./dom";
import type { StoredEvent } from "./events/row";
import { clockText, dayText, lengthText } from "./events/texts";
import type { Model } from "./model";
import { t } from "./strings";

/** One condition of a rule as it was found. */
export interface Gate {
  gate: string;
  passed: boolean;
  text: string;
}

/** passed: null where the rule said nothing; `text` then says why. */
export interface RuleSaid {
  rule: string;
  passed: boolean | null;
  text: string;
  gates: Gate[];
}

export interface Delivery {
  sink: string;
  state: "pending" | "sent" | "dead";
  attempts: number;
  last_error: string;
}

export interface EventWhy {
  event: StoredEvent;
  rules: RuleSaid[];
  alerts: { id: string; rule: string; at_ns: number; deliveries: Delivery[] }[];
}

export interface Near {
  label: string;
  name: string;
  at_ns: number;
  best: number;
  enter: number;
  leave: number;
  longest_ms: number;
  min_on_ms: number;
  /** Id of its event at that time, "" where there is none. */
  event: string;
  /** Why no event came of it; its subject is the label. */
  said: string;
}

export interface InstantWhy {
  events: EventWhy[];
  packs: { pack: string; labels: Near[] }[];
  /** Why there are no rows of that time; "" where there are. */
  no_rows: string;
}

const YES = "M4 12.5l5.5 5.5L20 6.5";
const NO = "M5.5 5.5l13 13m0-13l-13 13";
const NONE = "M5 12h14";

/** whole: everything is open to read; otherwise the rules are folded away. */
export function eventPart(found: EventWhy, model: Model, whole: boolean): HTMLElement {
  const { event } = found;
  const name = model.label(event.pack, event.label).name;
  const onsetMs = event.onset_ns / 1e6;
  const endMs = (event.offset_ns ?? event.decided_ns) / 1e6;
  const rules = [
    ...found.rules.map((rule) => rulePart(rule, model, event)),
    found.rules.length === 0 ? element("p", { class: "why-none", text: t.why.noRules }) : null,
    alertsPart(found),
  ];
  return element(
    "section",
    { class: "panel why-event", attrs: { "aria-label": t.why.eventOf(name, clockText(onsetMs)) } },
    element(whole ? "h2" : "h3", { text: t.why.eventOf(name, clockText(onsetMs)) }),
    element("p", { class: "why-when", text: t.why.where(dayText(onsetMs, Date.now()), event.stream, event.pack) }),
    element("p", { text: t.why.heard(event.peak, event.enter, event.mean, lengthText(endMs - onsetMs)) }),
    element("p", { class: "why-when", text: t.why.asked(event.leave, event.min_on_ms, event.min_off_ms) }),
    whole
      ? element("div", { class: "why-rules" }, ...rules)
      : element("details", {}, element("summary", { text: t.why.rulesSaid(found.rules.length) }), ...rules),
  );
}

function rulePart(said: RuleSaid, model: Model, event: StoredEvent): HTMLElement {
  const [state, mark, word] =
    said.passed === null
      ? (["none", NONE, t.why.notAsked] as const)
      : said.passed
        ? (["yes", YES, t.why.told] as const)
        : (["no", NO, t.why.notTold] as const);
  const stopped = said.gates.findIndex((gate) => !gate.passed);
  const gates = said.gates.map((gate, at) => gatePart(gate, at === stopped, stopped >= 0 && at > stopped));
  const text = said.passed === null ? t.why.silent(said.rule, said.text) : said.text;
  return element(
    "article",
    { class: `why-rule ${state}` },
    element(
      "h3",
      {},
      element("span", { class: "why-sign" }, icon(mark)),
      element("span", { text: said.rule }),
      element("span", { class: "why-word", text: word }),
    ),
    text ? element("p", { text: said.gates.length === 0 && said.passed !== null ? t.why.labelOnly(labelName(model, event)) : text }) : null,
    gates.length > 0 ? element("ol", { class: "why-gates" }, ...gates) : null,
  );
}

function labelName(model: Model, event: StoredEvent): string {
  return model.label(event.pack, event.label).name;
}

/** stopped: the first that did not let the event through; after: one behind it. */
function gatePart(gate: Gate, stopped: boolean, after: boolean): HTMLElement {
  const word = gate.passed ? t.why.passed : stopped ? t.why.stopped : t.why.alsoNot;
  const state = gate.passed ? (after ? "passed after" : "passed") : stopped ? "stopped" : "failed after";
  return element(
    "li",
    { class: state },
    element("span", { class: "why-sign" }, icon(gate.passed ? YES : NO)),
    element("span", { class: "why-word", text: word }),
    element("span", { class: "why-gate", text: gate.gate }),
    element("span", { class: "why-text", text: gate.text }),
  );
}

function alertsPart({ alerts }: EventWhy): HTMLElement | null {
  if (alerts.length === 0) return null;
  const items = alerts.flatMap((alert) => {
    const when = clockText(alert.at_ns / 1e6);
    if (alert.deliveries.length === 0) return [element("li", { text: t.why.alertNobody(alert.rule, when) })];
    return alert.deliveries.map((delivery) => {
      const sent = delivery.state === "sent";
      return element(
        "li",
        { class: sent ? "passed" : delivery.state === "dead" ? "stopped" : "" },
        element("span", { class: "why-sign" }, icon(sent ? YES : delivery.state === "dead" ? NO : NONE)),
        element("span", { class: "why-word", text: t.why.delivery[delivery.state] }),
        element("span", { class: "why-gate", text: delivery.sink }),
        element("span", { class: "why-text", text: t.why.deliveryText(alert.rule, when, delivery.attempts, delivery.last_error) }),
      );
    });
  });
  return element(
    "article",
    { class: "why-rule" },
    element("h3", { text: t.why.alerts }),
    element("ul", { class: "why-gates" }, ...items),
  );
}

/** Labels with their best score against the threshold at which an event begins. */
export function nearestPart(found: InstantWhy): HTMLElement {
  const packs = found.packs.filter((pack) => pack.labels.length > 0);
  return element(
    "section",
    { class: "panel why-near" },
    element("h2", { text: t.why.nearest }),
    element("p", { class: "why-when", text: packs.length > 0 ? t.why.nearestHow : found.no_rows }),
    ...packs.flatMap(({ pack, labels }) => [
      element("h3", { text: pack }),
      element("ul", {}, ...labels.map(nearPart)),
    ]),
  );
}

function nearPart(near: Near): HTMLElement {
  const bar = element("i");
  bar.style.transform = `scaleX(${near.best.toFixed(3)})`;
  const threshold = element("u");
  threshold.style.left = `${(100 * near.enter).toFixed(1)}%`;
  return element(
    "li",
    { class: near.best >= near.enter ? "reached" : "" },
    element("b", { text: near.name, attrs: { title: near.label } }),
    element("span", { class: "why-bar", attrs: { "aria-hidden": "true" } }, bar, threshold),
    element("span", { class: "why-said-of", text: near.said, attrs: { title: clockText(near.at_ns / 1e6) } }),
  );
}

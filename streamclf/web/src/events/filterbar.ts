// The fields that narrow the list of events.

import { button, element, setText } from "../dom";
import { t } from "../strings";
import type { App } from "../view";
import { type Filter, SPANS, type Span, boundsOf, everything, localTimeText } from "./filter";

export class FilterBar {
  readonly box: HTMLElement;
  private readonly label = element("select");
  private readonly stream = element("select");
  private readonly span = element(
    "select",
    {},
    ...SPANS.map((span) => element("option", { text: t.events.spans[span], attrs: { value: span } })),
  );
  private readonly from = element("input", { attrs: { type: "datetime-local" } });
  private readonly until = element("input", { attrs: { type: "datetime-local" } });
  private readonly peak = element("input", { attrs: { type: "range", min: "0", max: "1", step: "0.05" } });
  private readonly peakText = element("output");
  private readonly range: HTMLElement[];
  private readonly clear: HTMLButtonElement;
  private filter = everything();

  constructor(
    private readonly app: App,
    changed: (filter: Filter) => void,
  ) {
    this.range = [field(t.events.from, this.from), field(t.events.until, this.until)];
    this.clear = button(t.events.clearFilter, () => changed(everything()), { class: "plain" });
    for (const input of [this.label, this.stream, this.span, this.from, this.until, this.peak])
      input.addEventListener("change", () => changed(this.read()));
    this.peak.addEventListener("input", () => this.sayPeak());
    this.box = element(
      "div",
      { class: "filter", attrs: { role: "search", "aria-label": t.events.filter } },
      field(t.events.label, this.label),
      field(t.events.stream, this.stream),
      field(t.events.span, this.span),
      ...this.range,
      field(t.events.atLeast, this.peak, this.peakText),
      this.clear,
    );
  }

  show(filter: Filter): void {
    this.filter = filter;
    this.fillChoices();
    this.span.value = filter.span;
    this.from.value = filter.from;
    this.until.value = filter.until;
    this.peak.value = String(filter.minPeak);
    for (const part of this.range) part.hidden = filter.span !== "range";
    this.clear.disabled = JSON.stringify(filter) === JSON.stringify(everything());
    this.sayPeak();
  }

  /** Labels and streams of the daemon as it runs now, and what the filter names besides. */
  fillChoices(): void {
    const { model } = this.app;
    const groups = new Set<string>();
    const byPack = [...model.packs.values()].flatMap((pack) => {
      const told = pack.labels.filter((label) => label.enter !== null);
      for (const label of told) if (label.group) groups.add(label.group);
      return section(pack.name, told.map((label) => option(label.id, label.name)).sort(byText));
    });
    const named = [...groups].sort().map((group) => option(`group:${group}`, t.events.group(group)));
    this.label.replaceChildren(option("", t.events.allLabels), ...section(t.events.groups, named), ...byPack);
    choose(this.label, this.filter.labels);
    this.stream.replaceChildren(option("", t.events.allStreams), ...[...model.streams.keys()].map((name) => option(name, name)));
    choose(this.stream, this.filter.streams);
  }

  private read(): Filter {
    const span = this.span.value as Span;
    const filter: Filter = {
      labels: parts(this.label.value),
      streams: parts(this.stream.value),
      span,
      from: span === "range" ? this.from.value : "",
      until: span === "range" ? this.until.value : "",
      minPeak: Number(this.peak.value),
    };
    if (span === "range" && this.filter.span !== "range") {
      // two empty fields would ask for everything: begin with what was shown before
      const { sinceMs, untilMs } = boundsOf(this.filter, Date.now());
      filter.from = sinceMs === null ? "" : localTimeText(sinceMs);
      filter.until = localTimeText(untilMs ?? Date.now() + 60_000);
    }
    return filter;
  }

  private sayPeak(): void {
    const text = Number(this.peak.value) === 0 ? t.events.anyStrength : t.events.percent(Number(this.peak.value));
    setText(this.peakText, text);
    this.peak.setAttribute("aria-valuetext", text);
  }
}

/** Values of one choice stand in one option: a link may name several labels, a reader chooses one. */
const BETWEEN = "\u001f";

function parts(value: string): string[] {
  return value === "" ? [] : value.split(BETWEEN);
}

function choose(select: HTMLSelectElement, values: string[]): void {
  const value = values.join(BETWEEN);
  if (![...select.options].some((known) => known.value === value)) select.append(option(value, values.join(", ")));
  select.value = value;
}

function field(name: string, ...inside: HTMLElement[]): HTMLElement {
  return element("label", { class: "field" }, element("span", { text: name }), ...inside);
}

function option(value: string, text: string): HTMLOptionElement {
  return element("option", { text, attrs: { value } });
}

function section(name: string, options: HTMLOptionElement[]): HTMLElement[] {
  return options.length > 0 ? [element("optgroup", { attrs: { label: name } }, ...options)] : [];
}

function byText(one: HTMLOptionElement, other: HTMLOptionElement): number {
  return one.text.localeCompare(other.text);
}

// The rules in words, and the text of a new one to copy into their file. Nothing here changes a rule.

import "./rules.css";

import { button, element, setText } from "./dom";
import { NAME_PATTERN, type Wish, composeRule, faultsOf } from "./ruletext";
import { t } from "./strings";
import { type App, Failure, type View } from "./view";

interface RulesAnswer {
  /** In words. */
  place: string;
  rules: { name: string; labels: string[]; told_when: string; not_told_when: string; sinks: string[] }[];
  sinks: { name: string; type: string }[];
  /** The rules file, without its folder; "" where there is none. */
  file: string;
  /** Why the file as it is now is not in force. */
  problem: string;
}

class RulesView implements View {
  readonly id = "rules";
  readonly title = t.views.rules;
  private app!: App;
  private asking = new AbortController();
  private readonly said = element("p", { class: "rules-said", attrs: { role: "status" } });
  private readonly list = element("div", { class: "rules-list" });
  private readonly sinks = element("fieldset", { class: "rules-sinks" });
  private readonly name = input("text", { required: "", pattern: NAME_PATTERN, placeholder: "morning-birds" });
  private readonly labels = input("text", { required: "", list: "rule-labels", placeholder: "bird, group:voice" });
  private readonly known = element("datalist", { attrs: { id: "rule-labels" } });
  private readonly peak = input("number", { min: "0", max: "1", step: "0.05" });
  private readonly duration = input("number", { min: "0.1", max: "3600", step: "0.1" });
  private readonly from = input("time", {});
  private readonly until = input("time", {});
  private readonly cooldown = input("number", { min: "0", max: "525600", step: "1" });
  private readonly place = input("checkbox", {});
  private readonly fault = element("p", { class: "rules-fault", attrs: { role: "status" } });
  private readonly text = element("pre", { class: "rules-text", attrs: { tabindex: "0", "aria-label": t.rules.text } });
  private readonly copy = button(t.rules.copy, () => void this.copyText(), { class: "primary" });

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    const form = element(
      "form",
      { class: "rules-form", on: { input: () => this.compose(), submit: (event) => event.preventDefault() } },
      field(t.rules.name, this.name, t.rules.nameHint),
      field(t.rules.labels, this.labels, t.rules.labelsHint),
      field(t.rules.peak, this.peak),
      field(t.rules.duration, this.duration),
      field(t.rules.from, this.from),
      field(t.rules.until, this.until),
      field(t.rules.cooldown, this.cooldown),
      this.sinks,
      element("label", { class: "check" }, this.place, element("span", { text: t.rules.withPlace(zone()) })),
    );
    root.append(
      element("section", { class: "panel" }, element("h2", { text: t.rules.title }), this.said, this.list),
      element(
        "section",
        { class: "panel rules-new" },
        element("h2", { text: t.rules.newRule }),
        element("p", { class: "hint", text: t.rules.onlyFile }),
        form,
        this.fault,
        this.text,
        element("p", { class: "rules-copy" }, this.copy, element("span", { class: "hint", text: t.rules.check })),
      ),
      this.known,
    );
    this.compose();
    app.model.changed.on("hello", () => void this.load());
  }

  shown(): void {
    void this.load();
  }

  private async load(): Promise<void> {
    if (this.app.model.hello === null) return;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    this.fillLabels();
    if (this.list.childElementCount === 0) setText(this.said, t.rules.loading);
    try {
      this.show(await this.app.get<RulesAnswer>("v1/rules", asking.signal));
    } catch (fault) {
      if (asking.signal.aborted) return;
      const none = fault instanceof Failure && fault.status === 404;
      this.list.replaceChildren();
      setText(this.said, none ? t.rules.none : t.rules.failed((fault as Error).message));
    }
  }

  private show(answer: RulesAnswer): void {
    const { rules, sinks, problem } = answer;
    setText(this.said, rules.length === 0 ? t.rules.none : t.rules.inForce(rules.length, answer.file, answer.place));
    this.list.replaceChildren(
      ...(problem ? [element("p", { class: "rules-problem", text: t.rules.problem(problem), attrs: { role: "alert" } })] : []),
      ...rules.map((rule) =>
        element(
          "article",
          { class: "rule" },
          element("h3", { text: rule.name }),
          words(t.rules.listensTo, rule.labels.join(", ")),
          words(t.rules.toldWhen, rule.told_when),
          rule.not_told_when ? words(t.rules.notToldWhen, rule.not_told_when) : null,
          words(t.rules.tells, rule.sinks.length > 0 ? rule.sinks.join(", ") : t.rules.nobody),
        ),
      ),
      ...(sinks.length > 0
        ? [element("p", { class: "hint", text: t.rules.sinks(sinks.map(({ name, type }) => `${name} (${type})`).join(", ")) })]
        : []),
    );
    const checked = new Set(this.chosenSinks());
    this.sinks.replaceChildren(
      element("legend", { text: t.rules.tells }),
      ...sinks.map(({ name }) => check(name, checked.has(name))),
      element("span", { class: "hint", text: sinks.length > 0 ? t.rules.sinksHint : t.rules.noSinks }),
    );
    this.compose();
  }

  private fillLabels(): void {
    const told = [...this.app.model.packs.values()].flatMap((pack) => pack.labels.filter((label) => label.enter !== null));
    const values = new Set(told.flatMap(({ id, group }) => (group ? [id, `group:${group}`] : [id])));
    this.known.replaceChildren(...[...values].sort().map((value) => element("option", { attrs: { value } })));
  }

  private compose(): void {
    const wish = this.wish();
    const faults = faultsOf(wish);
    const begun = wish.name !== "" || wish.labels.length > 0;
    setText(this.fault, begun ? faults.map((fault) => t.rules.faults[fault]).join(" ") : t.rules.begin);
    this.text.hidden = this.copy.hidden = faults.length > 0;
    if (faults.length === 0) setText(this.text, composeRule(wish));
  }

  private wish(): Wish {
    const { from, until } = { from: this.from.value, until: this.until.value };
    const minutes = number(this.cooldown);
    const seconds = number(this.duration);
    return {
      name: this.name.value.trim(),
      labels: this.labels.value.split(",").map((label) => label.trim()).filter(Boolean),
      minPeak: number(this.peak),
      minDurationMs: seconds === null ? null : Math.round(seconds * 1000),
      time: from || until ? `${from}-${until}` : "",
      cooldownS: minutes === null ? null : minutes * 60,
      sinks: this.chosenSinks(),
      timezone: this.place.checked ? zone() : "",
    };
  }

  private chosenSinks(): string[] {
    return [...this.sinks.querySelectorAll<HTMLInputElement>("input:checked")].map((box) => box.value);
  }

  private async copyText(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.text.textContent ?? "");
      this.app.say(t.rules.copied);
    } catch {
      // a page that did not come over https or loopback may not write there
      getSelection()?.selectAllChildren(this.text);
      this.app.say(t.rules.copyByHand);
    }
  }
}

function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function number(field: HTMLInputElement): number | null {
  return field.value === "" || !field.validity.valid ? null : field.valueAsNumber;
}

function input(type: string, attrs: Record<string, string>): HTMLInputElement {
  return element("input", { attrs: { type, ...attrs } });
}

function field(name: string, inside: HTMLElement, hint = ""): HTMLElement {
  return element(
    "label",
    { class: "field" },
    element("span", { text: name }),
    inside,
    hint ? element("small", { text: hint }) : null,
  );
}

function check(name: string, checked: boolean): HTMLElement {
  const box = input("checkbox", { value: name });
  box.checked = checked;
  return element("label", { class: "check" }, box, element("span", { text: name }));
}

function words(name: string, text: string): HTMLElement {
  return element("p", {}, element("span", { class: "rule-key", text: name }), " ", text);
}

export const view: View = new RulesView();

// The list of keys.

import { button, element } from "./dom";
import { shortcuts } from "./keys";
import { t } from "./strings";

const KEY_NAMES: Record<string, string> = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

export class Help {
  private readonly list = element("dl");
  readonly root = element(
    "dialog",
    { class: "help", attrs: { "aria-labelledby": "help-title" } },
    element("h2", { text: t.shell.helpTitle, attrs: { id: "help-title" } }),
    this.list,
    button(t.shell.close, () => this.root.close()),
  );

  open(): void {
    this.list.replaceChildren(
      ...shortcuts.flatMap(({ key, text }) => [
        element("dt", {}, element("kbd", { text: KEY_NAMES[key] ?? key })),
        element("dd", { text }),
      ]),
    );
    this.root.showModal();
  }
}

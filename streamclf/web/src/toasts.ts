// Sentences at the edge of the page. A problem stays until it is dismissed; the rest goes by itself.

import { button, element } from "./dom";
import { t } from "./strings";

const STAY_MS = 8_000;
const MOST = 4;

export class Toasts {
  readonly root = element("div", { class: "toasts", attrs: { role: "status" } });

  say(text: string, level: "info" | "problem"): void {
    for (const shown of [...this.root.children]) if (shown.firstChild?.textContent === text) shown.remove();
    const toast = element(
      "div",
      { class: `toast toast-${level}` },
      element("p", { text }),
      button("×", () => toast.remove(), { class: "plain", attrs: { "aria-label": t.shell.dismiss } }),
    );
    this.root.append(toast);
    while (this.root.children.length > MOST) this.root.firstElementChild!.remove();
    if (level === "info") setTimeout(() => toast.remove(), STAY_MS);
  }
}

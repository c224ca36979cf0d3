import { element } from "./dom";
import { t } from "./strings";
import type { View } from "./view";

export const view: View = {
  id: "rules",
  title: t.views.rules,
  mount(root) {
    root.append(element("section", { class: "panel" }, element("h2", { text: t.views.rules })));
  },
};

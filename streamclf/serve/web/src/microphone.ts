import { element } from "./dom";
import { t } from "./strings";
import type { View } from "./view";

export const view: View = {
  id: "microphone",
  title: t.views.microphone,
  mount(root) {
    root.append(element("section", { class: "panel" }, element("h2", { text: t.views.microphone })));
  },
};

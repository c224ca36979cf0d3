// The head of the page: views, the connection's state, choice of stream, theme, help; and the demo banner.

import { button, element, icon, setText } from "./dom";
import { Help } from "./help";
import { shortcut } from "./keys";
import { t } from "./strings";
import { nextTheme, theme } from "./theme";
import type { App } from "./view";

const LOOK_MS = 500;

export class Header {
  readonly root = element("header", { class: "head" });
  /** The chosen stream; null: all. */
  stream: string | null = null;
  private readonly links = new Map<string, HTMLAnchorElement>();
  private readonly state = element("p", { class: "link-state", attrs: { role: "status" } });
  private readonly demo = element("p", { class: "demo-banner", attrs: { role: "alert", hidden: "" } });
  private readonly choice = element("select", { attrs: { "aria-label": t.shell.stream } });
  private readonly themeButton = button("", () => this.changeTheme(), { class: "plain" });
  private readonly help = new Help();
  private lookedMs = -Infinity;

  constructor(
    private readonly app: App,
    views: string[],
  ) {
    const list = element("ul");
    for (const id of views) {
      const link = element("a", { text: t.views[id as keyof typeof t.views], attrs: { href: `#${id}` } });
      this.links.set(id, link);
      list.append(element("li", {}, link));
    }
    const helpButton = button("?", () => this.help.open(), { class: "plain", attrs: { "aria-label": t.shell.help } });
    this.choice.addEventListener("change", () => this.choose());
    this.root.append(
      element("a", { class: "skip", text: t.shell.skip, attrs: { href: "#view" }, on: { click: toView } }),
      element(
        "div",
        { class: "head-line" },
        element("h1", { class: "brand" }, mark(), element("span", { text: t.shell.product })),
        element("nav", { attrs: { "aria-label": t.shell.navigation } }, list),
        element("div", { class: "head-tools" }, this.choice, this.state, this.themeButton, helpButton),
      ),
      this.demo,
      this.help.root,
    );
    shortcut("t", t.shell.keys.theme, () => this.changeTheme());
    shortcut("?", t.shell.keys.help, () => this.help.open());
    this.nameTheme();
    app.model.changed.on("hello", () => this.fill());
    app.model.changed.on("connection", () => this.look());
    this.fill();
    this.look();
  }

  /** Marks the view that is shown. */
  mark(shown: string): void {
    for (const [id, link] of this.links) {
      if (id !== shown) link.removeAttribute("aria-current");
      else {
        link.setAttribute("aria-current", "page");
        link.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    }
  }

  frame(nowMs: number): void {
    if (nowMs - this.lookedMs < LOOK_MS) return;
    this.lookedMs = nowMs;
    this.look();
  }

  private fill(): void {
    const streams = [...this.app.model.streams.values()].map(({ entry }) => entry);
    const names = streams.map(({ name }) => name);
    if (this.stream !== null && !names.includes(this.stream)) this.stream = null;
    const all = element("option", { text: t.shell.allStreams, attrs: { value: "" } });
    this.choice.replaceChildren(
      all,
      ...names.map((name) => element("option", { text: name, attrs: { value: `=${name}` } })),
    );
    this.choice.value = this.stream === null ? "" : `=${this.stream}`;
    this.choice.hidden = names.length < 2;
    const demos = streams.filter(({ demo }) => demo).map(({ name }) => name);
    this.demo.hidden = demos.length === 0;
    setText(this.demo, demos.length ? t.shell.demo(demos.join(", ")) : "");
  }

  private choose(): void {
    this.stream = this.choice.value === "" ? null : this.choice.value.slice(1);
    this.app.model.changed.emit("streams", undefined);
  }

  private look(): void {
    const { state, awaySinceMs, tier } = this.app.connection;
    const words = {
      connecting: () => t.connection.connecting,
      open: () => (tier === "full" ? t.connection.open : t.connection.behind),
      away: () => t.connection.away(awaySinceMs === null ? 0 : (Date.now() - awaySinceMs) / 1000),
      refused: () => t.connection.refused,
    };
    this.state.dataset["state"] = state;
    setText(this.state, words[state]());
  }

  private changeTheme(): void {
    nextTheme();
    this.nameTheme();
  }

  private nameTheme(): void {
    const chosen = theme();
    this.themeButton.replaceChildren(icon(THEME_ICONS[chosen]));
    const name = `${t.shell.theme.name}: ${t.shell.theme[chosen]}`;
    this.themeButton.setAttribute("aria-label", name);
    this.themeButton.title = name;
  }
}

const THEME_ICONS = {
  auto: "M12 3a9 9 0 1 0 0 18V3z M12 3a9 9 0 0 1 0 18",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2v3 M12 19v3 M2 12h3 M19 12h3 M5 5l2 2 M17 17l2 2 M5 19l2-2 M17 7l2-2",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
};

function mark(): SVGSVGElement {
  return icon("M3 12h2 M7 8v8 M11 4v16 M15 9v6 M19 6v12 M22 12h0");
}

function toView(event: Event): void {
  event.preventDefault();
  document.getElementById("view")?.focus();
}

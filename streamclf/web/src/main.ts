// The page: its views by hash, one model, one connection, one loop.

import "./theme.css";
import "./shell.css";
import "./now.css";

import { Connection } from "./connection";
import { element } from "./dom";
import { Header } from "./header";
import { listen, shortcut } from "./keys";
import { view as liveView } from "./live/view";
import { askForToken, login } from "./login";
import { Model, type StreamModel } from "./model";
import { view as nowView } from "./now";
import { t } from "./strings";
import { applyTheme } from "./theme";
import { Toasts } from "./toasts";
import { Failure, type App, type Role, type View } from "./view";

interface Session {
  needs_token: boolean;
  role: Role | null;
  why: string;
}

const HOME = "live";
const ANSWER_MS = 10_000;

// what the first paint does not need is loaded when it is opened
const VIEWS: Record<string, () => Promise<View>> = {
  live: () => Promise.resolve(liveView),
  now: () => Promise.resolve(nowView),
  events: async () => (await import("./events/view")).view,
  why: async () => (await import("./why")).view,
  teach: async () => (await import("./teach/view")).view,
  rules: async () => (await import("./rules")).view,
  streams: async () => (await import("./streams")).view,
  microphone: async () => (await import("./microphone")).view,
  species: async () => (await import("./species/view")).view,
};
/** Views that are reached from another one, and stand under it in the head. */
const WITHIN: Record<string, string> = { species: "events" };
const HEADED = Object.keys(VIEWS).filter((id) => !(id in WITHIN));

class Page implements App {
  readonly model = new Model();
  readonly connection: Connection;
  role: Role = "labels";
  private readonly header: Header;
  private readonly main = element("main", { attrs: { id: "view", tabindex: "-1" } });
  private readonly toasts = new Toasts();
  private readonly mounted = new Map<string, { view: View; root: HTMLElement }>();
  private shown: View | null = null;
  private turn = 0;
  private painted = false;

  constructor(root: HTMLElement) {
    this.connection = new Connection(this.model, {
      say: (text, level) => this.say(text, level),
      admit: () => this.admit(),
    });
    HEADED.forEach((id, index) =>
      shortcut(String(index + 1), t.shell.keys.view(t.views[id as keyof typeof t.views]), () => this.go(id)),
    );
    this.header = new Header(this, HEADED);
    root.append(this.header.root, this.main, this.toasts.root);
    listen(() => this.shown?.id ?? "");
    addEventListener("hashchange", () => void this.route());
  }

  async start(): Promise<void> {
    this.connection.start();
    await this.route();
    requestAnimationFrame((nowMs) => this.frame(nowMs));
  }

  chosen(): StreamModel[] {
    const all = [...this.model.streams.values()];
    const one = this.header.stream === null ? undefined : this.model.streams.get(this.header.stream);
    return one ? [one] : all;
  }

  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    const answer = await reach(path, signal ? { signal } : {});
    try {
      return (await answer.json()) as T;
    } catch (fault) {
      if (signal?.aborted) throw fault;
      // the daemon ended in the middle of its answer
      throw new Failure(0, t.connection.unreachable);
    }
  }

  go(view: string, detail = ""): void {
    location.hash = detail ? `${view}/${encodeURIComponent(detail)}` : view;
  }

  say(text: string, level: "info" | "problem" = "info"): void {
    this.toasts.say(text, level);
  }

  private async route(): Promise<void> {
    const [asked = "", ...rest] = location.hash.slice(1).split("/");
    const id = asked in VIEWS ? asked : HOME;
    const first = this.shown === null;
    const turn = ++this.turn;
    try {
      const view = this.mounted.get(id)?.view ?? (await VIEWS[id]!());
      // who went on while it was fetched wants it no more
      if (turn !== this.turn) return;
      if (!this.mounted.has(id)) this.mount(id, view);
      this.shown?.hidden?.();
      for (const [name, { root }] of this.mounted) root.hidden = name !== id;
      this.shown = view;
      this.header.mark(WITHIN[id] ?? id);
      document.title = `${view.title} · ${t.shell.product}`;
      view.shown?.(decodeURIComponent(rest.join("/")));
      if (!first) this.main.focus({ preventScroll: true });
    } catch (fault) {
      if (turn !== this.turn) return;
      this.say(t.shell.failed(String(fault instanceof Error ? fault.message : fault)), "problem");
    }
  }

  private mount(id: string, view: View): void {
    const root = element("div", { class: `view view-${id}` });
    this.mounted.set(id, { view, root });
    this.main.append(root);
    view.mount(root, this);
  }

  private frame(nowMs: number): void {
    this.shown?.frame?.(nowMs);
    this.header.frame(nowMs);
    if (!this.painted && this.model.hasRows) {
      this.painted = true;
      performance.mark("first-row");
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  private async admit(): Promise<boolean> {
    try {
      await takeToken();
      let session = await this.session();
      while (session.role === null) {
        this.connection.waitForToken();
        await askForToken(this);
        session = await this.session();
      }
      this.role = session.role;
      return true;
    } catch (fault) {
      if (fault instanceof Failure && fault.status !== 0) this.say(fault.message, "problem");
      return false;
    }
  }

  private session(): Promise<Session> {
    return this.get<Session>("v1/session", AbortSignal.timeout(ANSWER_MS));
  }
}

/** A token in the address is used once, and kept out of bookmarks, screenshots and the history. */
async function takeToken(): Promise<void> {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token === null) return;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  await login(token);
}

async function reach(path: string, options: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, options);
  } catch (fault) {
    if (options.signal?.aborted) throw fault;
    throw new Failure(0, t.connection.unreachable);
  }
  if (!answer.ok) throw new Failure(answer.status, (await answer.text()).trim());
  return answer;
}

applyTheme();
void new Page(document.getElementById("app")!).start();

// Logging in and out. The token is shown once; what the browser keeps of it, no script can read.

import "./login.css";

import { button, element, icon, setText } from "./dom";
import { t } from "./strings";
import { Failure, type App, type Role } from "./view";

export interface Session {
  needs_token: boolean;
  role: Role | null;
  why: string;
}

const OWN = { "X-Streamclf": "page" };
const USABLE = /^[\x21-\x7e]+$/;
const KEEP_MS = 6 * 3_600_000;

// being asked prolongs a login, so that a screen on a wall is never asked for a token again
setInterval(() => void fetch("v1/session").catch(() => undefined), KEEP_MS);

/** Changes a token for the session's cookie. Throws `Failure` where the daemon does not take it. */
export async function login(token: string): Promise<void> {
  if (!USABLE.test(token)) throw new Failure(401, t.login.odd);
  await ask("v1/login", { ...OWN, Authorization: `Bearer ${token}` });
}

/** Ends the login of this browser and begins anew. */
export async function logout(): Promise<void> {
  await ask("v1/logout", OWN);
  location.reload();
}

/** Shows the dialog; done when the daemon has taken a token. */
export async function askForToken(app: App): Promise<void> {
  const { why } = await app.get<Session>("v1/session");
  await new Dialog(why, null, app).done;
}

/** For who is in and wants another role; begins anew with it. */
export async function changeToken(app: App): Promise<void> {
  if (await new Dialog("", app.role, app).done) location.reload();
}

class Dialog {
  /** Whether somebody logged in; false where it was closed. */
  readonly done: Promise<boolean>;
  private readonly reason = element("p", { class: "login-reason", attrs: { role: "alert", hidden: "" } });
  private readonly token = element("input", {
    attrs: { id: "token", type: "password", autocomplete: "current-password", required: "", spellcheck: "false" },
  });
  private readonly submit = element("button", { class: "primary", text: t.login.logIn, attrs: { type: "submit" } });
  private readonly root = element("dialog", { class: "login", attrs: { "aria-labelledby": "login-title" } });

  /** role: that of a person already logged in, who may turn back; null where nobody is. */
  constructor(
    why: string,
    role: Role | null,
    private readonly app: App,
  ) {
    const form = element(
      "form",
      {},
      element("h2", { text: role === null ? t.login.title : t.login.another, attrs: { id: "login-title" } }),
      role === null ? null : element("p", { text: t.login.roles[role] }),
      this.reason,
      // a password manager keeps a name with each password
      element("input", {
        class: "for-readers",
        attrs: { type: "text", autocomplete: "username", value: t.shell.product, tabindex: "-1", "aria-hidden": "true", readonly: "" },
      }),
      element("label", { text: t.login.token, attrs: { for: "token" } }),
      this.token,
      element("p", { class: "faint", text: t.login.where }),
      element("div", { class: "login-buttons" }, this.submit, role === null ? null : button(t.shell.close, () => this.root.close())),
    );
    if (role === null) this.root.classList.add("login-alone");
    this.root.append(icon("M3 12h2 M7 8v8 M11 4v16 M15 9v6 M19 6v12 M22 12h0"), form);
    this.explain(why);
    this.done = new Promise((resolve) => {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        void this.try(resolve);
      });
      this.root.addEventListener("cancel", (event) => role === null && event.preventDefault());
      this.root.addEventListener("close", () => {
        removeEventListener("focus", look);
        this.root.remove();
        resolve(false);
      });
      // another window of this browser may have logged in meanwhile
      const look = (): void => void this.look(resolve);
      if (role === null) addEventListener("focus", look);
    });
    document.body.append(this.root);
    this.root.showModal();
    this.token.focus();
  }

  private async try(resolve: (done: boolean) => void): Promise<void> {
    this.submit.disabled = true;
    try {
      await login(this.token.value.trim());
      this.leave(resolve);
    } catch (fault) {
      this.explain(fault instanceof Failure ? fault.message : String(fault));
      this.token.select();
    } finally {
      this.submit.disabled = false;
    }
  }

  private async look(resolve: (done: boolean) => void): Promise<void> {
    const session = await this.app.get<Session>("v1/session").catch(() => null);
    if (session?.role) this.leave(resolve);
  }

  private leave(resolve: (done: boolean) => void): void {
    resolve(true);
    this.root.close();
  }

  private explain(reason: string): void {
    const text = reason && reason[0]!.toUpperCase() + reason.slice(1);
    setText(this.reason, text && !text.endsWith(".") ? `${text}.` : text);
    this.reason.hidden = reason === "";
  }
}

async function ask(path: string, headers: Record<string, string>): Promise<void> {
  let answer: Response;
  try {
    answer = await fetch(path, { headers });
  } catch {
    throw new Failure(0, t.connection.unreachable);
  }
  if (!answer.ok) throw new Failure(answer.status, (await answer.text()).trim());
}

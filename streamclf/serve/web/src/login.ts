import type { App } from "./view";

/** Shows the dialog; done when the daemon has taken a token. */
export async function askForToken(_app: App): Promise<void> {}

/** Changes a token for the session's cookie. Throws `Failure` where the daemon does not take it. */
export async function login(_token: string): Promise<void> {}

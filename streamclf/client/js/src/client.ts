// A subscription to a running daemon, kept up over reconnections.
//
// Theory of operation. `Link` is one connection; `Reader` decodes what comes and keeps the place reached: the largest
// sequence number and the start of the daemon that counted it. When a connection is lost the client subscribes again
// with that place, and the daemon sends what was missed. What cannot be sent any more comes as `lagged`, a restarted
// daemon as `hello` of another instance and `lagged` with the reason `restart`; both are messages like all others.

import { DEFAULT_ADDRESS, parseAddress, withToken } from "./address.js";
import { Lost, StreamclfError } from "./errors.js";
import { Link, type SocketMaker } from "./link.js";
import { PROTOCOL, type HelloMessage, type SubscribeMessage } from "./protocol.generated.js";
import { Reader, type Message } from "./reader.js";

/** What to send. Left out means all; `since` and `instance` of an earlier client go on from there. */
export type Subscription = Omit<SubscribeMessage, "type">;

export interface Options extends Subscription {
  /** Where the daemon wants one. Also taken from `?token=` of the address. */
  token?: string | undefined;
  /** Ends an iteration with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Whether a lost connection, or one that never came, is tried again. By default it is. */
  reconnect?: boolean | undefined;
  /** After so long without any message the daemon is asked for a sign of life, and given up after as long again. */
  silentMs?: number | undefined;
  /** Called before each further try. By default the console is told. */
  onWait?: ((why: string, delayMs: number) => void) | undefined;
  /** For Node below 22, which has none of its own: the one of the package `ws`. */
  WebSocket?: SocketMaker | undefined;
}

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 10_000;
const SILENT_MS = 10_000;

/**
 * Iterate over it for messages, one iteration at a time; a further one goes on where the last one ended.
 *
 * Leave the loop whenever you like: that closes the connection. Throws `StreamclfError` where trying again is no use,
 * and without `reconnect` for every end but one that the daemon announced.
 */
export class Client implements AsyncIterable<Message> {
  readonly url: string;
  private readonly reader: Reader;
  private readonly wish: Subscription;
  private readonly target: [url: string, protocols: string[]];
  private readonly Maker: SocketMaker;
  private readonly signal: AbortSignal | undefined;
  private readonly reconnect: boolean;
  private readonly silentMs: number;
  private readonly onWait: (why: string, delayMs: number) => void;
  private followed = false;

  constructor(address: string = DEFAULT_ADDRESS, options: Options = {}) {
    const { token, signal, reconnect, silentMs, onWait, WebSocket, since, instance, ...wish } = options;
    const parsed = parseAddress(address);
    const Maker = WebSocket ?? (globalThis.WebSocket as SocketMaker | undefined);
    if (!Maker) throw new StreamclfError("there is no WebSocket here; give one as an option, such as that of `ws`");
    this.url = parsed.url;
    this.target = withToken(parsed.url, PROTOCOL, token ?? parsed.token);
    this.reader = new Reader(since, instance);
    this.wish = wish;
    this.Maker = Maker;
    this.signal = signal;
    this.reconnect = reconnect ?? true;
    this.silentMs = silentMs ?? SILENT_MS;
    this.onWait = onWait ?? warn;
  }

  /** The last `hello`: streams, packs and their labels. */
  get hello(): HelloMessage | null {
    return this.reader.hello;
  }

  /** The place reached, for `since` of a later client. */
  get seq(): number | null {
    return this.reader.seq;
  }

  /** What `seq` belongs to, for `instance` of a later client. */
  get instance(): string | null {
    return this.reader.instance;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    const left = new AbortController();
    const messages = this.follow(this.signal ? AbortSignal.any([this.signal, left.signal]) : left.signal);
    return {
      next: () => messages.next(),
      return: () => {
        // by itself a generator would first wait for the next message
        left.abort();
        return messages.return(undefined);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  private async *follow(signal: AbortSignal): AsyncGenerator<Message, undefined, undefined> {
    if (this.followed) throw new StreamclfError("this client is iterated over already; make another one");
    this.followed = true;
    try {
      for (let failures = 0; ; failures++) {
        try {
          for await (const message of this.connection(signal)) {
            if (message.type === "subscribed") failures = 0;
            yield message;
          }
        } catch (fault) {
          if (!(fault instanceof Lost)) throw fault;
          if (!this.reconnect && fault.goodBye) return;
          if (!this.reconnect) throw new StreamclfError(fault.message);
          const delayMs = backoffMs(failures, Math.random());
          this.onWait(fault.message, delayMs);
          await sleep(delayMs, signal);
        }
      }
    } catch (fault) {
      if (!signal.aborted || this.signal?.aborted) throw fault;
    } finally {
      this.followed = false;
    }
  }

  /** What one connection brings until it is lost. */
  private async *connection(signal: AbortSignal): AsyncGenerator<Message, never, undefined> {
    signal.throwIfAborted();
    this.reader.connected();
    const link = new Link(this.Maker, {
      url: this.url,
      target: this.target,
      order: () => this.order(),
      silentMs: this.silentMs,
      signal,
    });
    try {
      for (;;) {
        const message = this.reader.take(await link.take());
        if (message?.type === "subscribed" && link.asked > 0) link.asked--;
        else if (message) yield message;
      }
    } finally {
      link.close();
    }
  }

  private order(): string {
    const { seq: since, instance } = this.reader;
    return JSON.stringify({ ...this.wish, type: "subscribe", since, instance });
  }
}

/** Doubles from 0.2 s to 10 s, less up to a half: chance, in [0, 1), spreads the clients of a daemon that restarts. */
function backoffMs(failures: number, chance: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures) * (1 - chance / 2);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

function warn(why: string, delayMs: number): void {
  console.warn(`streamclf: ${why}; trying again in ${(delayMs / 1000).toFixed(1)} s`);
}

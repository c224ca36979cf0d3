/** What the user has to change something for: a wrong address, a subscription to something that does not exist. */
export class StreamclfError extends Error {
  override name = "StreamclfError";
}

/** A connection ended, or there never was one. `goodBye`: the daemon said so itself. */
export class Lost extends Error {
  constructor(
    message: string,
    readonly goodBye = false,
  ) {
    super(message);
  }
}

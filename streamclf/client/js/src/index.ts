// The JavaScript client of streamclf. README.md begins with an example.

export { ageMs } from "./age.js";
export { Client, type Options, type Subscription } from "./client.js";
export { StreamclfError } from "./errors.js";
export type { Socket, SocketMaker } from "./link.js";
export { decibels, type PictureMessage, type SoundMessage } from "./binary.js";
export type { Message } from "./reader.js";
export * from "./protocol.generated.js";

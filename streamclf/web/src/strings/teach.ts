// Teaching: what a sound is and is not, what was taught, and what would be good to know.

import { fixed, oneOf } from "./words";

export const teach = {
  // the dialog
  title: "What is this?",
  name: "It is called",
  placeholder: "kettle",
  is: (name: string): string => (name ? `This is “${name}”` : "This is it"),
  not: (name: string): string => (name ? `This is not “${name}”` : "This is not it"),
  how: "A name that is new makes a class of its own; one that is known gets another example.",
  learning: "Learning it …",
  away: "This could not be sent: there is no connection to the daemon. Try again when it is back.",
  noAnswer: "the daemon has not answered; try again",
  refused: (reason: string): string => `It was not learnt: ${reason}.`,
  kept: (reason: string): string => `It is not forgotten: ${reason}.`,
  taught: (name: string, said: string, examples: number, against: number, detail: string): string =>
    said === "not"
      ? `That is not ${name}, ${oneOf(against, "sound is", "sounds are")} known not to be it.${detail ? ` ${sentence(detail)}` : ""}`
      : `${name} is heard from now on, by ${oneOf(examples, "example", "examples")}.` +
        `${examples < 3 ? " Three make it sure." : ""}${detail ? ` ${sentence(detail)}` : ""}`,
  notIt: (name: string): string => `Marked as wrong; ${name} learns that it is not it.`,
  sound: (stream: string, clock: string, s: number): string => `${stream} at ${clock}, ${fixed(s, 1)} s`,
  event: (name: string, stream: string, clock: string): string => `Taken for ${name} on ${stream} at ${clock}`,
  thisIs: "This is …",
  notThis: "Not this",
  keys: {
    is: "This is …: teach what it is",
    not: "Not this: teach that it is not",
    moment: "This is …: teach what the instant or stretch is",
    begin: "A stretch begins at the cursor",
    end: "A stretch ends at the cursor",
  },
  stretch: (s: number): string => `${fixed(s, 2)} s`,
  // the view
  title2: "Taught here",
  none: "Nothing has been taught yet. Hold an instant in Live, or drag over the picture with Shift, and press “This is …”; or choose an event and press i.",
  loading: "Looking up what was taught …",
  failed: (reason: string): string => `What was taught could not be fetched: ${reason} Open this view again to try once more.`,
  restsOn: (host: string): string => `hears what ${host} hears`,
  example: (said: string, day: string, clock: string, stream: string): string =>
    `${said === "is" ? "is it" : "is not it"}: ${stream ? `${stream}, ` : ""}${day} ${clock}`,
  shown: (said: string): string => (said === "is" ? "is it: shown as a file" : "is not it: shown as a file"),
  forget: "Forget",
  forgetAll: (name: string): string => `Forget ${name} and all of its examples`,
  forgetOne: (what: string): string => `Forget the example that ${what}`,
  sure: (name: string): string => `Forget ${name} for good?`,
  rename: "Rename",
  renameOf: (name: string): string => `Rename ${name}`,
  newName: (name: string): string => `What is ${name} called?`,
  named: (name: string): string => `It is called ${name} now.`,
  forgotten: (name: string): string => `${name} is forgotten.`,
  counts: (examples: number, against: number): string =>
    `${oneOf(examples, "example", "examples")}${against > 0 ? `, ${against} of what it is not` : ""}`,
};

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

// Making elements. Everything that came from outside goes through `text`, never through markup.

export { Emitter } from "./emitter";

export interface Parts {
  class?: string;
  text?: string;
  attrs?: Record<string, string>;
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
}

type Child = Node | string | null | undefined;

/** An element with what it consists of; null and undefined children are left out, strings become text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  parts: Parts = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (parts.class) made.className = parts.class;
  if (parts.text !== undefined) made.textContent = parts.text;
  for (const [name, value] of Object.entries(parts.attrs ?? {})) made.setAttribute(name, value);
  for (const [kind, handler] of Object.entries(parts.on ?? {})) made.addEventListener(kind, handler as EventListener);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(text: string, onClick: () => void, parts: Parts = {}): HTMLButtonElement {
  return element("button", { ...parts, text, attrs: { type: "button", ...parts.attrs }, on: { click: onClick } });
}

/** An SVG element; `<svg>` itself, paths and shapes inside it. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attrs: Record<string, string> = {},
  ...children: SVGElement[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attrs)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A drawing of 24 x 24 by path data, in the colour of the text; says nothing to a screen reader. */
export function icon(...paths: string[]): SVGSVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" },
    ...paths.map((d) => svg("path", { d })),
  );
}

/** Sets the text only where it differs, so that nothing is laid out again for nothing. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

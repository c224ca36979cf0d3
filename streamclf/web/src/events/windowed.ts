// A list of any length of which only the rows in sight are in the document.
//
// All rows have one height, so a row's place is its index times that height, and scrolling costs a handful of elements
// whatever the length. The page itself scrolls. The row that has the focus stays in the document wherever it is, or a
// keyboard would lose its place.

import { element } from "../dom";

/** Rows kept above and below what is in sight, so that a quick scroll does not run into emptiness. */
const SPARE = 12;

export interface Kind<Item> {
  key(item: Item): string;
  make(item: Item): HTMLElement;
  /** Writes the item into its element; called when the item is another object than before. */
  fill(target: HTMLElement, item: Item): void;
}

export class WindowedList<Item> {
  readonly box = element("ol", { class: "windowed", attrs: { tabindex: "-1" } });
  private items: readonly Item[] = [];
  private readonly shown = new Map<string, { target: HTMLElement; item: Item }>();
  private places = new Map<string, number>();

  /** headroom: height (px) of what sticks to the top of the page and hides rows. */
  constructor(
    private readonly kind: Kind<Item>,
    readonly headroom: () => number,
  ) {}

  get length(): number {
    return this.items.length;
  }

  at(index: number): Item | undefined {
    return this.items[index];
  }

  indexOf(key: string): number {
    return this.places.get(key) ?? -1;
  }

  firstInSight(): number {
    const hidden = this.headroom() - this.box.getBoundingClientRect().top;
    return Math.max(0, Math.ceil(hidden / this.rowHeight()));
  }

  set(items: readonly Item[]): void {
    this.items = items;
    this.places = new Map(items.map((item, index) => [this.kind.key(item), index]));
    this.paint();
  }

  /** Bring the document in step with the items and with what is in sight. */
  paint(): void {
    const height = this.rowHeight();
    this.box.style.height = `${this.items.length * height}px`;
    const { top } = this.box.getBoundingClientRect();
    const first = Math.max(0, Math.floor(-top / height) - SPARE);
    const end = Math.min(this.items.length, Math.ceil((window.innerHeight - top) / height) + SPARE);
    const wanted = new Map<string, number>();
    const focused = this.focusedKey();
    if (focused !== null && this.indexOf(focused) >= 0) wanted.set(focused, this.indexOf(focused));
    for (let index = first; index < end; index++) wanted.set(this.kind.key(this.items[index]!), index);
    for (const [key, { target }] of this.shown) {
      if (!wanted.has(key)) {
        target.remove();
        this.shown.delete(key);
      }
    }
    let next = this.box.firstElementChild;
    for (const [key, index] of [...wanted].sort((one, other) => one[1] - other[1])) {
      const target = this.targetOf(key, this.items[index]!);
      target.style.transform = `translateY(${index * height}px)`;
      // what stands right is not moved: an element that is moved loses the focus
      if (target === next) next = next.nextElementSibling;
      else this.box.insertBefore(target, next);
    }
  }

  /** Scroll as far as it takes to have the row in sight, and give it the focus. */
  focus(index: number): void {
    const item = this.items[index];
    if (item === undefined) return;
    const height = this.rowHeight();
    const top = this.box.getBoundingClientRect().top + index * height;
    const above = top - this.headroom();
    const below = top + height - window.innerHeight;
    if (above < 0) window.scrollBy(0, above);
    else if (below > 0) window.scrollBy(0, below + height);
    this.paint();
    this.shown.get(this.kind.key(item))?.target.focus({ preventScroll: true });
  }

  /** Key of the item that has the keyboard. */
  focusedKey(): string | null {
    const active = document.activeElement;
    if (!active || !this.box.contains(active)) return null;
    for (const [key, { target }] of this.shown) if (target.contains(active)) return key;
    return null;
  }

  rowHeight(): number {
    return parseFloat(getComputedStyle(this.box).getPropertyValue("--row-height")) || 44;
  }

  private targetOf(key: string, item: Item): HTMLElement {
    const known = this.shown.get(key);
    if (known) {
      if (known.item !== item) {
        known.item = item;
        this.kind.fill(known.target, item);
      }
      return known.target;
    }
    const target = this.kind.make(item);
    this.kind.fill(target, item);
    this.shown.set(key, { target, item });
    return target;
  }
}

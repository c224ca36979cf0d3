// Pointer and wheel on the picture: drag scrolls, a pinch or ctrl and the wheel zooms, a click asks; a drag with shift, or
// after a long press, marks a stretch.

export interface Gestures {
  /** By CSS pixels; below 0: back in time. */
  pan(pixels: number): void;
  /** factor below 1: closer; x: the place that stays. */
  zoom(factor: number, x: number): void;
  hover(x: number, y: number): void;
  leave(): void;
  click(x: number, y: number): void;
  /** From one place to another, while it is dragged. */
  mark(fromX: number, toX: number): void;
  /** Whether an upright wheel movement at this height scrolls through time and not the page. */
  ownsWheel(y: number): boolean;
}

const CLICK_PX = 5;
const LONG_PRESS_MS = 450;
const WHEEL_ZOOM = 0.0025;
const LINE_PX = 24; // of a wheel that counts in lines

export function attachGestures(canvas: HTMLElement, to: Gestures): void {
  const places = new Map<number, number>(); // x of each pointer that is down
  let moved = 0;
  let apart = 0;
  /** Where the stretch began that is being marked; null while none is. */
  let markedFrom: number | null = null;
  let pressing: ReturnType<typeof setTimeout> | undefined;

  const distance = (): number => {
    const [one = 0, two = 0] = places.values();
    return Math.abs(one - two);
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    places.set(event.pointerId, event.offsetX);
    if (places.size === 1) {
      moved = 0;
      markedFrom = event.shiftKey ? event.offsetX : null;
      pressing = setTimeout(() => (markedFrom = event.offsetX), LONG_PRESS_MS);
    }
    if (places.size === 2) apart = distance();
  });

  canvas.addEventListener("pointermove", (event) => {
    const last = places.get(event.pointerId);
    if (last === undefined) {
      to.hover(event.offsetX, event.offsetY);
      return;
    }
    places.set(event.pointerId, event.offsetX);
    if (places.size === 2) {
      const now = Math.max(distance(), 1);
      moved = Infinity;
      to.zoom(Math.max(apart, 1) / now, [...places.values()].reduce((sum, x) => sum + x, 0) / 2);
      apart = now;
      return;
    }
    const before = moved;
    moved += Math.abs(event.offsetX - last);
    if (moved <= CLICK_PX) return;
    clearTimeout(pressing);
    if (markedFrom !== null) {
      to.mark(markedFrom, event.offsetX);
      return;
    }
    // the first step takes along what was still a click
    to.pan(last - event.offsetX + (before <= CLICK_PX ? Math.sign(last - event.offsetX) * before : 0));
  });

  const lift = (event: PointerEvent): void => {
    if (!places.delete(event.pointerId)) return;
    clearTimeout(pressing);
    if (event.type === "pointerup" && moved <= CLICK_PX) to.click(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => to.leave());

  canvas.addEventListener(
    "wheel",
    (event) => {
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : 1;
      if (event.ctrlKey) to.zoom(Math.exp(event.deltaY * unit * WHEEL_ZOOM), event.offsetX);
      else if (event.deltaX !== 0 || event.shiftKey) to.pan((event.deltaX || event.deltaY) * unit);
      else if (to.ownsWheel(event.offsetY)) to.pan(event.deltaY * unit);
      else return;
      event.preventDefault();
    },
    { passive: false },
  );
}

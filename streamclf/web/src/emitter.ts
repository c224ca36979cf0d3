// Who wants to hear of a kind of thing, and telling them. No DOM.

type Callback<D> = (detail: D) => void;

/** `Kinds` maps each kind to what is told with it. */
export class Emitter<Kinds extends object> {
  private readonly callbacks = new Map<keyof Kinds, Set<Callback<never>>>();

  /** Returns what ends it. */
  on<K extends keyof Kinds>(kind: K, callback: Callback<Kinds[K]>): () => void {
    let known = this.callbacks.get(kind);
    if (!known) this.callbacks.set(kind, (known = new Set()));
    known.add(callback as Callback<never>);
    return () => known.delete(callback as Callback<never>);
  }

  emit<K extends keyof Kinds>(kind: K, detail: Kinds[K]): void {
    for (const callback of this.callbacks.get(kind) ?? []) (callback as Callback<Kinds[K]>)(detail);
  }
}

import type { Millis, ProtoView, SkId } from '@skbus/skb';

interface Ended {
  opSeq: number;
  opErrno: number;
  view: ProtoView | undefined;
  /** When it was last said. */
  saidMs: Millis;
}

const KEEP = 4096;

/** The last words of socks that are gone, so that a repeated operation is answered like the first. Bounded, oldest out. */
export class EndedTable {
  private readonly byId = new Map<SkId, Ended>();

  add(id: SkId, e: Ended): void {
    this.byId.delete(id);
    if (this.byId.size >= KEEP) {
      for (const oldest of this.byId.keys()) {
        this.byId.delete(oldest);
        break;
      }
    }
    this.byId.set(id, e);
  }

  get(id: SkId): Ended | undefined {
    return this.byId.get(id);
  }
}

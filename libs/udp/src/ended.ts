import type { SkId } from '@skbus/skb';

const KEEP = 4096;

/** Sockets that were closed: the close is answered again when its answer got lost, and nothing old raises one anew. */
export class EndedSocks {
  private readonly seqs = new Map<SkId, number>();

  add(sk: SkId, opSeq: number): void {
    this.seqs.set(sk, opSeq);
    if (this.seqs.size <= KEEP) return;
    for (const oldest of this.seqs.keys()) {
      this.seqs.delete(oldest);
      break;
    }
  }

  /** The number of the operation that ended it. */
  get(sk: SkId): number | undefined {
    return this.seqs.get(sk);
  }

  clear(): void {
    this.seqs.clear();
  }
}

import type { ProtoData } from '@skbus/skb';

interface Piece {
  readonly data: ProtoData;
  next: Piece | undefined;
}

/**
 * Received bytes that were passed up and are not confirmed yet, in order. Linked through its pieces, so that confirming
 * costs what is confirmed and an idle connection keeps nothing.
 */
export class UnconfirmedQueue {
  private first: Piece | undefined = undefined;
  private last: Piece | undefined = undefined;
  length = 0;

  push(data: ProtoData): void {
    const p: Piece = { data, next: undefined };
    if (this.last === undefined) this.first = p;
    else this.last.next = p;
    this.last = p;
    this.length++;
  }

  /** Forgets what ends at `offset` or before, each piece by way of `keep`. True when that was anything. */
  confirm(offset: number, keep: ((piece: ProtoData) => void) | undefined): boolean {
    const before = this.length;
    let p = this.first;
    while (p !== undefined && p.data.offset + p.data.data.length <= offset) {
      const { next } = p;
      keep?.(p.data);
      // or a piece that grew old would keep all that came after it from being collected
      p.next = undefined;
      p = next;
      this.length--;
    }
    this.first = p;
    if (p === undefined) this.last = undefined;
    return this.length < before;
  }

  *[Symbol.iterator](): Generator<ProtoData> {
    for (let p = this.first; p !== undefined; p = p.next) yield p.data;
  }
}

/** What a connection has that never received any; nothing is ever put in. */
export const NO_UNCONFIRMED = new UnconfirmedQueue();

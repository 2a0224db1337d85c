import type { Millis, Rng } from '@skbus/skb';
import { CorrelatedRandom } from './crandom.ts';
import { JITTER_NS_MAX, tableDist } from './distribution.ts';
import type { NetemSlot } from './spec.ts';

/**
 * Packets leave in slots: what is due waits for the next one, and one holds so many packets and bytes at most
 * (net/sched/sch_netem.c:get_slot_next, netem_dequeue). Worked out when a packet comes, in the order of coming: with a jitter that
 * turns the order round, the kernel, which looks when packets leave, fills its slots in the order of leaving.
 */
export class Slots {
  private readonly slot: NetemSlot;
  private readonly random: CorrelatedRandom;
  private nextMs: Millis = Number.NEGATIVE_INFINITY;
  private lastLeftMs: Millis = Number.NEGATIVE_INFINITY;
  private packetsLeft = 0;
  private bytesLeft = 0;

  constructor(slot: NetemSlot, rng: Rng) {
    this.slot = slot;
    this.random = new CorrelatedRandom(rng, 0);
  }

  /** When one leaves that comes now and is due at `dueMs`. */
  leaveAt(dueMs: Millis, lengthBytes: number, now: Millis): Millis {
    // A slot from before it was due is not for it: the next is drawn when it is first in the queue, and again when it is due.
    if (this.nextMs < dueMs) this.open(Math.max(now, this.lastLeftMs));
    if (this.nextMs < dueMs) this.open(dueMs);
    const at = Math.max(dueMs, this.lastLeftMs, this.nextMs);
    this.lastLeftMs = at;
    this.packetsLeft--;
    this.bytesLeft -= lengthBytes;
    if (this.packetsLeft <= 0 || this.bytesLeft <= 0) this.open(at);
    return at;
  }

  private open(after: Millis): void {
    this.nextMs = after + this.pauseNs() / 1e6;
    this.packetsLeft = this.slot.packets || Number.POSITIVE_INFINITY;
    this.bytesLeft = this.slot.bytes || Number.POSITIVE_INFINITY;
  }

  private pauseNs(): number {
    const { every } = this.slot;
    if ('distribution' in every) {
      const ns = tableDist(
        toNs(every.delayMs),
        Math.min(toNs(every.jitterMs), JITTER_NS_MAX),
        this.random,
        every.distribution,
      );
      return Math.max(0, ns);
    }
    const [min, max] = [toNs(every.minMs), toNs(every.maxMs)];
    return min + Math.floor(((max - min) * this.random.u32()) / 0x1_0000_0000);
  }
}

export const toNs = (ms: Millis): number => Math.round(ms * 1e6);

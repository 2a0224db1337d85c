import { below, type Millis, type Rng } from '@skbus/skb';
import { CorrelatedRandom, Dice } from './crandom.ts';
import { JITTER_NS_MAX, tableDist } from './distribution.ts';
import { lossModel, type LossModel } from './loss.ts';
import type { Netem, NetemCopy, NetemVerdict } from './netem.ts';
import { Slots, toNs } from './slots.ts';
import type { Distribution, NetemRate, NetemSpec } from './spec.ts';

const NO_COPIES: readonly NetemCopy[] = [];
const NEVER_HAPPENS = { p: 0, correlation: 0 };

/** net/sched/sch_netem.c:netem_enqueue, with its order of throwing the dice: duplicate, loss, corrupt, reorder, delay. */
export class NetemEngine implements Netem {
  private readonly rng: Rng;
  private readonly limit: number;
  private readonly latencyNs: number;
  private readonly jitterNs: number;
  private readonly distribution: Distribution;
  private readonly delayRandom: CorrelatedRandom;
  private readonly duplicate: Dice;
  private readonly lost: LossModel | undefined;
  private readonly ecn: boolean;
  private readonly corrupt: Dice;
  private readonly reorder: Dice;
  /** 0: nothing goes ahead. */
  private readonly gap: number;
  private readonly rate: NetemRate | undefined;
  private readonly slots: Slots | undefined;
  /** Packets since the last that went ahead. */
  private counter = 0;
  /** How many wait, and when the last of them is due. */
  private queued = 0;
  private lastMs: Millis = 0;

  constructor(spec: NetemSpec, rng: Rng) {
    this.rng = rng;
    this.limit = spec.limit;
    this.latencyNs = toNs(spec.delay?.delayMs ?? 0);
    this.jitterNs = Math.min(toNs(spec.delay?.jitterMs ?? 0), JITTER_NS_MAX);
    this.distribution = spec.delay?.distribution ?? 'uniform';
    this.delayRandom = new CorrelatedRandom(rng, spec.delay?.correlation ?? 0);
    this.duplicate = new Dice(rng, spec.duplicate ?? NEVER_HAPPENS);
    this.lost = spec.loss && lossModel(spec.loss, rng);
    this.ecn = spec.ecn === true;
    this.corrupt = new Dice(rng, spec.corrupt ?? NEVER_HAPPENS);
    this.reorder = new Dice(rng, spec.reorder ?? NEVER_HAPPENS);
    this.gap = spec.reorder && spec.reorder.p > 0 ? spec.reorder.gap : 0;
    this.rate = spec.rate && spec.rate.bytesPerSec > 0 ? spec.rate : undefined;
    this.slots = spec.slot && new Slots(spec.slot, rng);
  }

  enqueue(lengthBytes: number, now: Millis, canMark = true): NetemVerdict {
    const twice = this.duplicate.throw();
    let markCe = false;
    let count = twice ? 2 : 1;
    if (this.lost?.()) {
      if (this.ecn && canMark) markCe = true;
      else count--;
    }
    if (count === 0) return { copies: NO_COPIES, overlimit: false };
    const corruptBit = this.corruptBit(lengthBytes);
    if (this.queued >= this.limit) return { copies: NO_COPIES, overlimit: true };
    const copies: NetemCopy[] = [];
    // The second one goes through the queue from the start, and into it before the first; it is not doubled again.
    if (count > 1) this.again(lengthBytes, now, canMark, markCe, copies);
    copies.push(this.place(lengthBytes, now, corruptBit, markCe));
    return { copies, overlimit: false };
  }

  left(): void {
    this.queued--;
  }

  private again(lengthBytes: number, now: Millis, canMark: boolean, marked: boolean, copies: NetemCopy[]): void {
    let markCe = marked;
    if (this.lost?.()) {
      if (!this.ecn || !canMark) return;
      markCe = true;
    }
    const corruptBit = this.corruptBit(lengthBytes);
    if (this.queued < this.limit) copies.push(this.place(lengthBytes, now, corruptBit, markCe));
  }

  private corruptBit(lengthBytes: number): number {
    if (!this.corrupt.throw() || lengthBytes === 0) return -1;
    return 8 * below(this.rng, lengthBytes) + below(this.rng, 8);
  }

  /** Gives it its time. */
  private place(lengthBytes: number, now: Millis, corruptBit: number, markCe: boolean): NetemCopy {
    const ahead = this.gap > 0 && this.counter >= this.gap - 1 && this.reorder.throw();
    this.counter = ahead ? 0 : this.counter + 1;
    const dueMs = ahead ? now : this.dueAt(lengthBytes, now);
    const atMs = ahead || !this.slots ? dueMs : this.slots.leaveAt(dueMs, lengthBytes, now);
    this.lastMs = this.queued === 0 ? dueMs : Math.max(this.lastMs, dueMs);
    this.queued++;
    return { atMs, ahead, corruptBit, markCe };
  }

  private dueAt(lengthBytes: number, now: Millis): Millis {
    const delayMs = tableDist(this.latencyNs, this.jitterNs, this.delayRandom, this.distribution) / 1e6;
    if (this.rate === undefined) return Math.max(now, now + delayMs);
    // Behind what waits: the cable is busy until the last of it has left, and the delay runs meanwhile.
    const from = this.queued > 0 ? this.lastMs : now;
    const rest = this.queued > 0 ? Math.max(0, delayMs - (from - now)) : delayMs;
    return Math.max(now, from + rest + packetTimeNs(lengthBytes, this.rate) / 1e6);
  }
}

/** How long a packet takes on the cable (net/sched/sch_netem.c:packet_time_ns). */
export function packetTimeNs(lengthBytes: number, rate: NetemRate): number {
  let bytes = Math.max(0, lengthBytes + rate.packetOverhead);
  if (rate.cellSize > 0) bytes = Math.ceil(bytes / rate.cellSize) * Math.max(0, rate.cellSize + rate.cellOverhead);
  return Math.floor((bytes * 1e9) / rate.bytesPerSec);
}

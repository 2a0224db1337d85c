import { below, SeededRng, type Millis } from '@skbus/skb';

/** Loses, doubles and delays (thereby reorders) the messages of one seam. */
export class SeamFaults {
  readonly counters = { carried: 0, lost: 0, doubled: 0, late: 0 };
  private readonly rng: SeededRng;
  private p: { loss: number; duplicate: number; late: number; lateMs: Millis };

  constructor(seed: number, p: { loss?: number; duplicate?: number; late?: number; lateMs?: Millis }) {
    this.rng = new SeededRng(seed);
    this.p = { loss: 0, duplicate: 0, late: 0, lateMs: 3, ...p };
  }

  /** From now on everything arrives. */
  heal(): void {
    this.p = { loss: 0, duplicate: 0, late: 0, lateMs: 0 };
  }

  /** Calls `send` for every copy that gets through, with its delay. */
  carry(send: (lateMs: Millis) => void): void {
    const { loss, duplicate, late, lateMs } = this.p;
    this.counters.carried++;
    if (this.chance(loss)) {
      this.counters.lost++;
      return;
    }
    const copies = this.chance(duplicate) ? 2 : 1;
    if (copies === 2) this.counters.doubled++;
    for (let i = 0; i < copies; i++) {
      const isLate = this.chance(late);
      if (isLate) this.counters.late++;
      send(isLate ? lateMs : 0);
    }
  }

  private chance(p: number): boolean {
    return p > 0 && below(this.rng, 1_000_000) < p * 1_000_000;
  }
}

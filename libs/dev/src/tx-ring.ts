import type { LayerEnv, SkBuff } from '@skbus/skb';

interface Waiting {
  /** How many frames the driver had taken with this one. */
  frame: number;
  sk: number;
  wmem: number;
}

/**
 * Whose skbs are in a driver's ring: each is freed when the driver has sent as many frames as it had taken by then. A
 * driver that sends at once leaves nothing here.
 */
export class TxRing {
  private readonly env: LayerEnv;
  private frames = 0;
  private waits: Waiting[] = [];

  constructor(env: LayerEnv) {
    this.env = env;
  }

  get waiting(): boolean {
    return this.waits.length > 0;
  }

  /** The driver took the bytes of this skb; `inRing` frames wait now. */
  took(skb: SkBuff, inRing: number): void {
    this.frames++;
    if (skb.sk === 0) return;
    if (inRing === 0) {
      this.env.orphan(skb);
      return;
    }
    this.waits.push({ frame: this.frames, sk: skb.sk, wmem: skb.wmem });
    skb.sk = 0;
  }

  /** All but the last `inRing` frames are on the wire. */
  sent(inRing: number): void {
    if (this.waits.length === 0) return;
    const upTo = this.frames - inRing;
    let n = 0;
    for (; n < this.waits.length && this.waits[n]!.frame <= upTo; n++)
      this.env.wfree?.(this.waits[n]!.sk, this.waits[n]!.wmem);
    if (n > 0) this.waits = this.waits.slice(n);
  }

  /** The driver is gone, with what it held. */
  clear(): void {
    this.sent(0);
  }
}

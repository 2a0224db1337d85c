import type { Millis, SkCmd, SkId, SkRecord } from '@skbus/skb';
import { TCP_CLOSE } from '@skbus/skb';

interface Loose {
  readonly data: Uint8Array;
  readonly cameMs: Millis;
  readonly untilMs: Millis;
  readonly listener: SkId;
}

/** As many as a TCP has TIME-WAITs by default and requests beside them; the oldest go first. */
const KEEP = 2 ** 17;

/** Records of a transport's half-open connections and TIME-WAITs, which are no sockets: kept for the time that they name. */
export class LooseRecords {
  private readonly byId = new Map<SkId, Loose>();

  get size(): number {
    return this.byId.size;
  }

  take(id: SkId, r: SkRecord, now: Millis): void {
    this.byId.delete(id);
    if (r.data.length === 0 || !r.keepMs) return;
    this.makeRoom(now);
    const data = r.data.slice(); // or the message that brought it would stay, too
    this.byId.set(id, { data, cameMs: now, untilMs: now + r.keepMs, listener: r.listener ?? 0 });
  }

  forget(id: SkId): void {
    this.byId.delete(id);
  }

  /** What is still in force, half-open connections first: their peers wait. */
  ids(now: Millis): SkId[] {
    const live = [...this.byId].filter(([, r]) => r.untilMs > now);
    return [...live.filter(([, r]) => r.listener !== 0), ...live.filter(([, r]) => r.listener === 0)].map(([id]) => id);
  }

  restoreCmd(sk: SkId, to: number, now: Millis): SkCmd | undefined {
    const r = this.byId.get(sk);
    if (r === undefined || r.untilMs <= now) return undefined;
    const restore = {
      to,
      opSeq: 0,
      record: r.data,
      state: TCP_CLOSE,
      listener: r.listener,
      sndUna: 0,
      sndMax: 0,
      sndbuf: 0,
      shutdown: 0,
      closed: true,
      finAcked: false,
      ageMs: now - r.cameMs,
    };
    return { sk, opSeq: 0, restore };
  }

  /** They come in the order of their ends, nearly. */
  private makeRoom(now: Millis): void {
    for (const [id, r] of this.byId) {
      if (r.untilMs > now && this.byId.size < KEEP) return;
      this.byId.delete(id);
    }
  }
}

import {
  ETH_P_IP,
  type Ipv4Addr,
  type Millis,
  NUD_FAILED,
  NUD_NONE,
  NUD_REACHABLE,
  NUD_STALE,
  type NeighHint,
  type NeighUpdate,
  SECOND,
} from '@skbus/skb';
import { emitEthernet, ETHERNET_HLEN } from '@skbus/wire';

/** What we know of one neighbour. */
export interface HhEntry {
  readonly ifindex: number;
  readonly addr: Ipv4Addr;
  /** The Ethernet header to write (neigh->hh); `undefined` until the neighbour layer has told us. */
  header: Uint8Array | undefined;
  connected: boolean;
  failed: boolean;
  expiresMs: Millis;
  usedHintMs: Millis;
  confirmHintMs: Millis;
}

const ENTRIES_MAX = 8192;

/** Three ARP requests a second apart, and some. */
const EPOCH_GRACE_MS: Millis = 5 * SECOND;

/**
 * The neighbours' cached headers on IP's side: while an entry is connected, packets go straight to the device
 * (neigh_hh_output) and the neighbour layer only hears now and then that it is in use.
 */
export class HhCache {
  private readonly entries = new Map<number, HhEntry>();
  private readonly hint: (h: NeighHint) => void;
  private epoch = 0;

  constructor(hint: (h: NeighHint) => void) {
    this.hint = hint;
  }

  /** The entry of a neighbour, known or not. */
  entry(ifindex: number, addr: Ipv4Addr): HhEntry {
    const key = keyOf(ifindex, addr);
    const known = this.entries.get(key);
    if (known !== undefined) return known;
    if (this.entries.size >= ENTRIES_MAX) this.entries.clear();
    const e: HhEntry = {
      ifindex,
      addr,
      header: undefined,
      connected: false,
      failed: false,
      expiresMs: 0,
      usedHintMs: Number.NEGATIVE_INFINITY,
      confirmHintMs: Number.NEGATIVE_INFINITY,
    };
    this.entries.set(key, e);
    return e;
  }

  /** The header to use without asking, if there is one; tells the neighbour layer at most once a second. */
  use(e: HhEntry, now: Millis): Uint8Array | undefined {
    if (!e.connected || e.expiresMs <= now) return undefined;
    if (now - e.usedHintMs >= SECOND) {
      e.usedHintMs = now;
      this.hint({ ifindex: e.ifindex, addr: e.addr, confirm: false });
    }
    return e.header;
  }

  /** A transport heard from beyond this neighbour (sock_confirm_neigh). */
  confirm(e: HhEntry, now: Millis): void {
    if (now - e.confirmHintMs < SECOND) return;
    e.confirmHintMs = now;
    this.hint({ ifindex: e.ifindex, addr: e.addr, confirm: true });
  }

  onUpdate(u: NeighUpdate, now: Millis): void {
    if (u.epoch !== this.epoch) this.onNewEpoch(u.epoch, now);
    if (u.ifindex === 0) return;
    const e = this.entry(u.ifindex, u.addr);
    e.header = new Uint8Array(ETHERNET_HLEN);
    emitEthernet({ dst: u.lladdr, src: u.devAddr, type: ETH_P_IP }, e.header, 0);
    e.connected = u.connected;
    e.failed = false;
    e.expiresMs = now + u.validMs;
  }

  /**
   * The neighbour layer was started anew and knows nobody. What we have is as good as a moment ago and spares every
   * packet the wait for ARP, but not for long: its next use makes the neighbour layer resolve it again.
   */
  private onNewEpoch(epoch: number, now: Millis): void {
    this.epoch = epoch;
    for (const e of this.entries.values()) {
      e.expiresMs = Math.min(e.expiresMs, now + EPOCH_GRACE_MS);
      e.usedHintMs = Number.NEGATIVE_INFINITY;
    }
  }

  /** The neighbour layer gave up on it. */
  onFailure(ifindex: number, addr: Ipv4Addr): void {
    const e = this.entry(ifindex, addr);
    e.header = undefined;
    e.connected = false;
    e.failed = true;
  }

  /** The device is gone. */
  forget(ifindex: number): void {
    for (const [key, e] of this.entries) if (e.ifindex === ifindex) this.entries.delete(key);
  }

  /** NUD_* as far as IP can tell: for choosing among default routes. */
  state(ifindex: number, addr: Ipv4Addr): number {
    const e = this.entries.get(keyOf(ifindex, addr));
    if (e === undefined) return NUD_NONE;
    if (e.failed) return NUD_FAILED;
    if (e.header === undefined) return NUD_NONE;
    return e.connected ? NUD_REACHABLE : NUD_STALE;
  }
}

const keyOf = (ifindex: number, addr: Ipv4Addr): number => ifindex * 0x1_0000_0000 + addr;

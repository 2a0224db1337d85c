import type { SkCmd, SkEvt, SkOptions } from '@skbus/skb';
import { skbus } from '../gen/skbus.js';
import { plainBytes } from './skb-codec.ts';

// The generated messages have seam.ts's field names, so a decoded message is used as it is; only numbers that a double
// field could smuggle in (NaN, negative, infinite) must be kept out of offset arithmetic, and options that setsockopt() would have
// refused out of timers and headers.

/** include/net/tcp.h, net/ipv4/tcp.c:do_tcp_setsockopt, net/ipv4/ip_sockglue.c. 0, "the default", is always allowed but for ttl. */
const OPTION_RANGES: Readonly<Partial<Record<keyof SkOptions, readonly [min: number, max: number]>>> = {
  keepIdleMs: [1_000, 32_767_000],
  keepIntvlMs: [1_000, 32_767_000],
  keepCnt: [1, 127],
  synCnt: [1, 127],
  maxSeg: [88, 32_767],
  userTimeoutMs: [1, 0x7fff_ffff],
  linger2Ms: [-1, 120_000],
  rcvbuf: [1, 0x7fff_ffff],
  sndbuf: [1, 0x7fff_ffff],
  rcvLowat: [1, 0x7fff_ffff],
  windowClamp: [1, 0x7fff_ffff],
  maxPacingRate: [0, Number.MAX_VALUE],
  tos: [0, 255],
  ttl: [1, 255],
  pmtuDisc: [0, 5],
  deferAccept: [0, 255],
  saveSyn: [0, 2],
};

/** Commands for one transport shard in one message. */
export function encodeCmds(publisher: number, cmds: readonly SkCmd[]): Uint8Array {
  return skbus.v1.SkCmdList.encode({ publisher, cmds } as unknown as skbus.v1.SkCmdList).finish();
}

/** `to`: the publisher of the socket layer that is meant; 0: any. */
export function encodeEvts(publisher: number, evts: readonly SkEvt[], to = 0): Uint8Array {
  return skbus.v1.SkEvtList.encode({ publisher, evts, to } as unknown as skbus.v1.SkEvtList).finish();
}

/** `undefined`: no command list, or one with impossible offsets or options. */
export function decodeCmds(message: Uint8Array): { publisher: number; cmds: SkCmd[] } | undefined {
  try {
    const list = skbus.v1.SkCmdList.decode(plainBytes(message));
    for (const c of list.cmds as skbus.v1.SkCmd[]) {
      const v = c.view;
      if (v && ![v.sndTo, v.rcvGot, v.rcvRead, v.urgTo, v.rcvGapTo].every((n) => isOffset(n ?? 0))) return undefined;
      const r = c.restore;
      if (r && ![r.sndUna, r.sndMax, r.urgAt].every((n) => isOffset(n ?? 0))) return undefined;
      if (r && !isTime(r.ageMs ?? 0)) return undefined;
      if (c.data && !isOffset(c.data.offset ?? 0)) return undefined;
      if (c.unread && !isOffset(c.unread.offset ?? 0)) return undefined;
      if (c.adopt && !isOffset(c.adopt.rcvRead ?? 0)) return undefined;
      if (c.options) {
        const options = present(c.options);
        if (!arePossible(options)) return undefined;
        (c as { options: unknown }).options = options;
      }
    }
    return { publisher: list.publisher, cmds: list.cmds as unknown as SkCmd[] };
  } catch {
    return undefined;
  }
}

/** `undefined`: no event list, or one with impossible offsets. */
export function decodeEvts(message: Uint8Array): { publisher: number; evts: SkEvt[]; to: number } | undefined {
  try {
    const list = skbus.v1.SkEvtList.decode(plainBytes(message));
    for (const e of list.evts as skbus.v1.SkEvt[]) {
      const v = e.view;
      if (v && ![v.sndGot, v.sndUna, v.sndLimit, v.rcvNxt, v.urgAt, v.sndNxt].every((n) => isOffset(n ?? 0)))
        return undefined;
      if (e.data && !isOffset(e.data.offset ?? 0)) return undefined;
      if (e.dgram && !isOffset(e.dgram.offset ?? 0)) return undefined;
      if (e.record && !isTime(e.record.keepMs ?? 0)) return undefined;
      if (e.sent && !isOffset(e.sent.offset ?? 0)) return undefined;
      if (e.adopted && !isOffset(e.adopted.rcvFrom ?? 0)) return undefined;
    }
    return { publisher: list.publisher, evts: list.evts as unknown as SkEvt[], to: list.to };
  } catch {
    return undefined;
  }
}

const isOffset = (n: number): boolean => n >= 0 && n <= Number.MAX_SAFE_INTEGER && Number.isInteger(n);

const isTime = (ms: number): boolean => ms >= 0 && ms <= Number.MAX_SAFE_INTEGER;

function arePossible(options: SkOptions): boolean {
  for (const [name, [min, max]] of Object.entries(OPTION_RANGES)) {
    const n = options[name as keyof SkOptions];
    if (n === undefined || (n === 0 && name !== 'ttl')) continue;
    if (typeof n !== 'number' || n < min || n > max) return false;
  }
  return true;
}

/**
 * Only what was on the wire: an absent `optional` field reads as null through the message's prototype, but options mean
 * "not set" by being absent.
 */
function present(o: object): SkOptions {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => typeof v !== 'number' || Number.isFinite(v)));
}

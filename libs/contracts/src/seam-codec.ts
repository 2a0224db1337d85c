import type { SkCmd, SkEvt, SkOptions } from '@skbus/skb';
import { skbus } from '../gen/skbus.js';
import { ProtoIn, ProtoOut } from './proto-wire.ts';
import { readCmd, readEvt, SEAM_FIELDS_MAX, writeCmd, writeEvt } from './seam-wire.ts';
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

const out = new ProtoOut();
const input = new ProtoIn();

/** Commands for one transport shard in one message. */
export function encodeCmds(publisher: number, cmds: readonly SkCmd[]): Uint8Array {
  const rare = cmds.map((c) => (isPlainCmd(c) ? undefined : skbus.v1.SkCmd.encode(c as skbus.v1.SkCmd).finish()));
  let max = SEAM_FIELDS_MAX;
  cmds.forEach((c, i) => (max += SEAM_FIELDS_MAX + (rare[i]?.length ?? c.data?.data.length ?? 0)));
  out.begin(max);
  out.uint32(8, publisher);
  cmds.forEach((c, i) => {
    if (rare[i]) out.message(18, rare[i]);
    else writeCmd(out, c);
  });
  return out.finish();
}

/** All that it has is in the fields that seam-wire.ts knows. */
const isPlainCmd = (c: SkCmd): boolean =>
  !c.opSeq &&
  !c.options &&
  !c.bind &&
  !c.listen &&
  !c.connect &&
  !c.query &&
  !c.restore &&
  !c.unread &&
  !c.adopt &&
  !c.owner &&
  !c.restoreEnd &&
  !c.sendto &&
  !c.close &&
  !c.shutdown;

/** Events; `to`: the publisher of the socket layer that is meant, 0: any. */
export function encodeEvts(publisher: number, evts: readonly SkEvt[], to = 0): Uint8Array {
  const rare = evts.map((e) => (isPlainEvt(e) ? undefined : skbus.v1.SkEvt.encode(e as skbus.v1.SkEvt).finish()));
  let max = SEAM_FIELDS_MAX;
  evts.forEach((e, i) => (max += SEAM_FIELDS_MAX + (rare[i]?.length ?? e.data?.data.length ?? 0)));
  out.begin(max);
  out.uint32(8, publisher);
  evts.forEach((e, i) => {
    if (rare[i]) out.message(18, rare[i]);
    else writeEvt(out, e);
  });
  out.uint32(24, to);
  return out.finish();
}

const isPlainEvt = (e: SkEvt): boolean =>
  !e.unknown && !e.dgram && !e.child && !e.answer && !e.record && !e.restored && !e.adopted && !e.sent && !e.hello;

interface CmdList {
  publisher: number;
  cmds: SkCmd[];
}

interface EvtList {
  publisher: number;
  evts: SkEvt[];
  to: number;
}

/** `undefined`: no command list, or one with impossible offsets or options. */
export function decodeCmds(message: Uint8Array): CmdList | undefined {
  const bytes = plainBytes(message);
  const list = readCmds(bytes) ?? decodeAnyCmds(bytes);
  return list?.cmds.every(isPossibleCmd) ? list : undefined;
}

/** `undefined`: there are other things than levels and bytes. */
function readCmds(message: Uint8Array): CmdList | undefined {
  const list: CmdList = { publisher: 0, cmds: [] };
  input.begin(message);
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) list.publisher = input.uint32();
    else if (tag === 18) {
      const outer = input.enter();
      list.cmds.push(readCmd(input));
      input.leave(outer);
    } else input.isOdd();
  }
  return input.odd ? undefined : list;
}

function decodeAnyCmds(message: Uint8Array): CmdList | undefined {
  try {
    const { publisher, cmds } = skbus.v1.SkCmdList.decode(message);
    for (const c of cmds as skbus.v1.SkCmd[]) if (c.options) (c as { options: unknown }).options = present(c.options);
    return { publisher, cmds: cmds as unknown as SkCmd[] };
  } catch {
    return undefined;
  }
}

function isPossibleCmd(c: SkCmd): boolean {
  const { view: v, restore: r } = c;
  if (v && !(isOffset(v.sndTo) && isOffset(v.rcvGot) && isOffset(v.rcvRead))) return false;
  if (v && !(isOffset(v.urgTo ?? 0) && isOffset(v.rcvGapTo ?? 0))) return false;
  if (r && !(isOffset(r.sndUna) && isOffset(r.sndMax) && isOffset(r.urgAt ?? 0) && isTime(r.ageMs ?? 0))) return false;
  if (c.data && !isOffset(c.data.offset)) return false;
  if (c.unread && !isOffset(c.unread.offset)) return false;
  if (c.adopt && !isOffset(c.adopt.rcvRead)) return false;
  return !c.options || arePossible(c.options);
}

/** `undefined`: no event list, or one with impossible offsets. */
export function decodeEvts(message: Uint8Array): EvtList | undefined {
  const bytes = plainBytes(message);
  const list = readEvts(bytes) ?? decodeAnyEvts(bytes);
  return list?.evts.every(isPossibleEvt) ? list : undefined;
}

function readEvts(message: Uint8Array): EvtList | undefined {
  const list: EvtList = { publisher: 0, evts: [], to: 0 };
  input.begin(message);
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) list.publisher = input.uint32();
    else if (tag === 24) list.to = input.uint32();
    else if (tag === 18) {
      const outer = input.enter();
      list.evts.push(readEvt(input));
      input.leave(outer);
    } else input.isOdd();
  }
  return input.odd ? undefined : list;
}

function decodeAnyEvts(message: Uint8Array): EvtList | undefined {
  try {
    const { publisher, evts, to } = skbus.v1.SkEvtList.decode(message);
    return { publisher, evts: evts as unknown as SkEvt[], to };
  } catch {
    return undefined;
  }
}

function isPossibleEvt(e: SkEvt): boolean {
  const v = e.view;
  if (v && !(isOffset(v.sndGot) && isOffset(v.sndUna) && isOffset(v.sndLimit) && isOffset(v.rcvNxt))) return false;
  if (v && !(isOffset(v.urgAt ?? 0) && isOffset(v.sndNxt ?? 0))) return false;
  if (e.data && !isOffset(e.data.offset)) return false;
  if (e.dgram && !isOffset(e.dgram.offset)) return false;
  if (e.record && !isTime(e.record.keepMs ?? 0)) return false;
  if (e.sent && !isOffset(e.sent.offset)) return false;
  return !e.adopted || isOffset(e.adopted.rcvFrom);
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

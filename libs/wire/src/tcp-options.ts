import { get16, get32, put16, put32 } from './bytes.ts';

/** TCP option kinds (IANA). */
export const TCPOPT_EOL = 0;
export const TCPOPT_NOP = 1;
export const TCPOPT_MSS = 2;
export const TCPOPT_WINDOW = 3;
export const TCPOPT_SACK_PERM = 4;
export const TCPOPT_SACK = 5;
export const TCPOPT_TIMESTAMP = 8;
export const TCPOPT_MD5SIG = 19;
export const TCPOPT_AO = 29;
export const TCPOPT_FASTOPEN = 34;
/** RFC 9768: the byte counters of ECT(0), CE, ECT(1), or in the other order. */
export const TCPOPT_ACCECN0 = 172;
export const TCPOPT_ACCECN1 = 174;
/** Shared by experiments; the next two bytes tell which one (RFC 6994). */
export const TCPOPT_EXP = 254;
export const TCPOPT_FASTOPEN_MAGIC = 0xf989;

/** AccECN's option: up to three counters of 24 bits. */
export interface AccEcnOption {
  order1: boolean;
  fields: number[];
}

export interface TcpOptions {
  mss?: number;
  wscale?: number;
  sackPermitted?: boolean;
  /** Left and right edges, at most four blocks (RFC 2018). */
  sack?: [number, number][];
  tsVal?: number;
  tsEcr?: number;
  /** RFC 7413; an empty cookie is a request. */
  fastOpen?: Uint8Array;
  /** The cookie came, or is to go, as an experimental option (RFC 6994) as before RFC 7413. */
  fastOpenExp?: boolean;
  accecn?: AccEcnOption;
  /** MD5 or AO was there; `bad`: both, one twice, or one of an impossible length. */
  auth?: 'md5' | 'ao' | 'bad';
}

/**
 * Reads the options in b[at, end) as tcp_parse_options does: an unknown kind is skipped, and a length that is impossible
 * ends the parse without spoiling what was read before (RFC 9293 MUST-6, MUST-7).
 */
export function parseTcpOptions(b: Uint8Array, at: number, end: number): TcpOptions {
  const o: TcpOptions = {};
  for (let i = optionAt(b, at, end); i >= 0; i = optionAt(b, i + b[i + 1]!, end)) readOption(o, b[i]!, b, i, b[i + 1]!);
  return o;
}

/** Where an option of this kind begins (its kind byte) in b[at, end), by the same rules; -1: there is none. */
export function findTcpOption(b: Uint8Array, at: number, end: number, wanted: number): number {
  let i = optionAt(b, at, end);
  while (i >= 0 && b[i] !== wanted) i = optionAt(b, i + b[i + 1]!, end);
  return i;
}

/** Where the next option that has a length, and a possible one, begins; -1: there is none. */
function optionAt(b: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end && b[i] === TCPOPT_NOP) i++;
  if (i + 1 >= end || b[i] === TCPOPT_EOL) return -1;
  const len = b[i + 1]!;
  return len < 2 || i + len > end ? -1 : i;
}

function readOption(o: TcpOptions, kind: number, b: Uint8Array, i: number, len: number): void {
  switch (kind) {
    case TCPOPT_MSS:
      if (len === 4 && get16(b, i + 2) !== 0) o.mss = get16(b, i + 2);
      break;
    case TCPOPT_WINDOW:
      if (len === 3) o.wscale = b[i + 2]!;
      break;
    case TCPOPT_SACK_PERM:
      if (len === 2) o.sackPermitted = true;
      break;
    case TCPOPT_SACK:
      if (len >= 10 && (len - 2) % 8 === 0) {
        o.sack = [];
        for (let k = i + 2; k < i + len; k += 8) o.sack.push([get32(b, k), get32(b, k + 4)]);
      }
      break;
    case TCPOPT_TIMESTAMP:
      if (len === 10) {
        o.tsVal = get32(b, i + 2);
        o.tsEcr = get32(b, i + 6);
      }
      break;
    case TCPOPT_FASTOPEN:
      readFastOpen(o, b, i + 2, i + len);
      break;
    case TCPOPT_EXP:
      if (len < 4 || get16(b, i + 2) !== TCPOPT_FASTOPEN_MAGIC) break;
      readFastOpen(o, b, i + 4, i + len);
      o.fastOpenExp = true;
      break;
    case TCPOPT_ACCECN0:
    case TCPOPT_ACCECN1:
      o.accecn = { order1: kind === TCPOPT_ACCECN1, fields: [] };
      for (let k = i + 2; k + 3 <= i + len && k < i + 11; k += 3) o.accecn.fields.push((b[k]! << 16) | get16(b, k + 1));
      break;
    case TCPOPT_MD5SIG:
      o.auth = o.auth === undefined && len === 18 ? 'md5' : 'bad';
      break;
    case TCPOPT_AO:
      o.auth = o.auth === undefined && len > 4 ? 'ao' : 'bad';
      break;
    default: // RFC 9293 MUST-6: unknown options are ignored
      break;
  }
}

/** tcp_parse_fastopen_option(): nothing is a request; what is there must be an even 4 to 16 bytes (RFC 7413 2). */
function readFastOpen(o: TcpOptions, b: Uint8Array, at: number, end: number): void {
  const n = end - at;
  if ((n & 1) === 0 && (n === 0 || (n >= 4 && n <= 16))) o.fastOpen = b.slice(at, end);
}

/** Options end at word boundaries, with NOPs before them; AccECN's, of any length, is filled up by the next one. */
const ending = (at: number, len: number): number => (at + len + 3) & ~3;

/** Bytes the options take, padded to a multiple of four. */
export function tcpOptionsLen(o: TcpOptions): number {
  let n = 0;
  if (o.mss !== undefined) n += 4;
  if (o.tsVal !== undefined) n += 12;
  if (o.accecn !== undefined) n += 2 + 3 * o.accecn.fields.length;
  if (o.sackPermitted && o.tsVal === undefined) n = ending(n, 2);
  if (o.wscale !== undefined) n = ending(n, 3);
  if (o.sack !== undefined && o.sack.length > 0) n = ending(n, 2 + 8 * o.sack.length);
  if (o.fastOpen !== undefined) n += (o.fastOpenExp ? 4 : 2) + o.fastOpen.length;
  return ending(n, 0);
}

/**
 * Writes the options in Linux's order and alignment (net/ipv4/tcp_output.c:tcp_options_write): MSS; SACK-permitted fills
 * the two bytes before a timestamp; AccECN; window scale after one NOP; SACK after two.
 */
export function emitTcpOptions(o: TcpOptions, b: Uint8Array, at: number): void {
  let i = at;
  /** NOPs, so that an option of this length ends at a word boundary. */
  const align = (len: number): void => {
    const start = at + ending(i - at, len) - len;
    while (i < start) b[i++] = TCPOPT_NOP;
  };
  if (o.mss !== undefined) {
    b[i] = TCPOPT_MSS;
    b[i + 1] = 4;
    put16(b, i + 2, o.mss);
    i += 4;
  }
  if (o.tsVal !== undefined) {
    b[i] = o.sackPermitted ? TCPOPT_SACK_PERM : TCPOPT_NOP;
    b[i + 1] = o.sackPermitted ? 2 : TCPOPT_NOP;
    b[i + 2] = TCPOPT_TIMESTAMP;
    b[i + 3] = 10;
    put32(b, i + 4, o.tsVal);
    put32(b, i + 8, o.tsEcr ?? 0);
    i += 12;
  }
  if (o.accecn !== undefined) i = emitAccEcn(o.accecn, b, i);
  if (o.sackPermitted && o.tsVal === undefined) {
    align(2);
    b[i] = TCPOPT_SACK_PERM;
    b[i + 1] = 2;
    i += 2;
  }
  if (o.wscale !== undefined) {
    align(3);
    b[i] = TCPOPT_WINDOW;
    b[i + 1] = 3;
    b[i + 2] = o.wscale;
    i += 3;
  }
  if (o.sack !== undefined && o.sack.length > 0) {
    align(2 + 8 * o.sack.length);
    i = emitSack(o.sack, b, i);
  }
  if (o.fastOpen !== undefined) i = emitFastOpen(o.fastOpen, o.fastOpenExp === true, b, i);
  align(0);
}

function emitAccEcn(o: AccEcnOption, b: Uint8Array, at: number): number {
  let i = at;
  b[i] = o.order1 ? TCPOPT_ACCECN1 : TCPOPT_ACCECN0;
  b[i + 1] = 2 + 3 * o.fields.length;
  i += 2;
  for (const n of o.fields) {
    b[i] = n >>> 16;
    put16(b, i + 1, n & 0xffff);
    i += 3;
  }
  return i;
}

function emitSack(blocks: readonly [number, number][], b: Uint8Array, at: number): number {
  let i = at;
  b[i] = TCPOPT_SACK;
  b[i + 1] = 2 + 8 * blocks.length;
  i += 2;
  for (const [left, right] of blocks) {
    put32(b, i, left);
    put32(b, i + 4, right);
    i += 8;
  }
  return i;
}

function emitFastOpen(cookie: Uint8Array, exp: boolean, b: Uint8Array, at: number): number {
  const head = exp ? 4 : 2;
  b[at] = exp ? TCPOPT_EXP : TCPOPT_FASTOPEN;
  b[at + 1] = head + cookie.length;
  if (exp) put16(b, at + 2, TCPOPT_FASTOPEN_MAGIC);
  b.set(cookie, at + head);
  return at + head + cookie.length;
}

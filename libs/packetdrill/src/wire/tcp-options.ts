import {
  get16,
  get32,
  put32,
  TCPOPT_EOL,
  TCPOPT_FASTOPEN,
  TCPOPT_MD5SIG,
  TCPOPT_MSS,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERM,
  TCPOPT_TIMESTAMP,
  TCPOPT_WINDOW,
} from '@skbus/wire';
import type { TcpOption } from '../lang/ast.ts';

const TCPOPT_ACCECN0 = 172;
const TCPOPT_ACCECN1 = 174;
const TCPOPT_EXP = 254;
/** Fast Open's magic number in the experimental option (RFC 7413 4.1.1 footnote). */
const FASTOPEN_MAGIC = 0xf989;
const ECN_ORDER: Readonly<Record<number, readonly ('e0b' | 'ceb' | 'e1b')[]>> = {
  [TCPOPT_ACCECN0]: ['e0b', 'ceb', 'e1b'],
  [TCPOPT_ACCECN1]: ['e1b', 'ceb', 'e0b'],
};

/** The options' bytes, exactly as listed: no padding of its own. */
export function encodeTcpOptions(options: readonly TcpOption[]): Uint8Array {
  const parts = options.map(encode);
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

function encode(o: TcpOption): Uint8Array {
  switch (o.kind) {
    case 'nop':
      return Uint8Array.of(TCPOPT_NOP);
    case 'eol':
      return Uint8Array.of(TCPOPT_EOL);
    case 'sackOK':
      return Uint8Array.of(TCPOPT_SACK_PERM, 2);
    case 'wscale':
      return Uint8Array.of(TCPOPT_WINDOW, 3, o.value);
    case 'mss':
      return Uint8Array.of(TCPOPT_MSS, 4, o.value >>> 8, o.value);
    case 'sack':
      return words(TCPOPT_SACK, o.blocks.flat());
    case 'ts':
      return words(TCPOPT_TIMESTAMP, [o.val, o.ecr]);
    case 'fo':
      return option(TCPOPT_FASTOPEN, o.data);
    case 'foexp':
      return option(TCPOPT_EXP, [FASTOPEN_MAGIC >>> 8, FASTOPEN_MAGIC & 0xff, ...o.data]);
    case 'md5':
      return option(TCPOPT_MD5SIG, o.data);
    case 'ecn': {
      const number = o.fields[0]?.name === 'e1b' ? TCPOPT_ACCECN1 : TCPOPT_ACCECN0;
      return option(
        number,
        o.fields.flatMap((f) => [(f.value >>> 16) & 0xff, (f.value >>> 8) & 0xff, f.value & 0xff]),
      );
    }
    case 'unknown':
      return option(o.number, o.data);
    default:
      return o satisfies never;
  }
}

const option = (number: number, data: ArrayLike<number> & Iterable<number>): Uint8Array =>
  Uint8Array.from([number, data.length + 2, ...data]);

function words(number: number, values: readonly number[]): Uint8Array {
  const b = new Uint8Array(2 + 4 * values.length);
  b[0] = number;
  b[1] = b.length;
  for (const [i, v] of values.entries()) put32(b, 2 + 4 * i, v);
  return b;
}

/** Every option in order, NOPs and EOLs too; bytes that can be none end it as an `unknown`. */
export function decodeTcpOptions(b: Uint8Array): TcpOption[] {
  const options: TcpOption[] = [];
  for (let i = 0; i < b.length;) {
    const number = b[i]!;
    if (number === TCPOPT_EOL || number === TCPOPT_NOP) {
      options.push({ kind: number === TCPOPT_EOL ? 'eol' : 'nop' });
      i++;
      continue;
    }
    const len = b[i + 1] ?? 0;
    if (len < 2 || i + len > b.length) {
      options.push({ kind: 'unknown', number, data: b.slice(i + 1) });
      break;
    }
    options.push(decode(number, b.slice(i + 2, i + len)));
    i += len;
  }
  return options;
}

function decode(number: number, data: Uint8Array): TcpOption {
  const unknown: TcpOption = { kind: 'unknown', number, data };
  switch (number) {
    case TCPOPT_MSS:
      return data.length === 2 ? { kind: 'mss', value: get16(data, 0) } : unknown;
    case TCPOPT_WINDOW:
      return data.length === 1 ? { kind: 'wscale', value: data[0]! } : unknown;
    case TCPOPT_SACK_PERM:
      return data.length === 0 ? { kind: 'sackOK' } : unknown;
    case TCPOPT_SACK:
      return data.length >= 8 && data.length % 8 === 0 ? { kind: 'sack', blocks: blocks(data) } : unknown;
    case TCPOPT_TIMESTAMP:
      return data.length === 8 ? { kind: 'ts', val: get32(data, 0), ecr: get32(data, 4) } : unknown;
    case TCPOPT_FASTOPEN:
      return { kind: 'fo', data };
    case TCPOPT_MD5SIG:
      return { kind: 'md5', data };
    case TCPOPT_EXP:
      return data.length >= 2 && get16(data, 0) === FASTOPEN_MAGIC ? { kind: 'foexp', data: data.slice(2) } : unknown;
    default:
      return ECN_ORDER[number] !== undefined && data.length <= 9 && data.length % 3 === 0
        ? { kind: 'ecn', fields: counters(ECN_ORDER[number], data) }
        : unknown;
  }
}

function blocks(data: Uint8Array): [number, number][] {
  const all: [number, number][] = [];
  for (let i = 0; i < data.length; i += 8) all.push([get32(data, i), get32(data, i + 4)]);
  return all;
}

function counters(
  order: readonly ('e0b' | 'ceb' | 'e1b')[],
  data: Uint8Array,
): (TcpOption & { kind: 'ecn' })['fields'] {
  return order
    .slice(0, data.length / 3)
    .map((name, i) => ({ name, value: (data[3 * i]! << 16) | get16(data, 3 * i + 1) }));
}

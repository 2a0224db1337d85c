import type { FlowI4 } from '@skbus/skb';
import { get16, get32, getMac, put16, put32, putMac } from '@skbus/wire';
import type { HeaderPlace, NumberReader } from './field.ts';
import type { PacketView } from './packet-view.ts';

/** Where a field starts in view.b; -1: the packet does not have it. */
export function locatePlace(place: HeaderPlace, v: PacketView): number {
  const header = v.locate()[place.header];
  if (header < 0 || (place.when !== undefined && !place.when(v))) return -1;
  if (place.option === undefined) return header + place.at;
  const at = v.tcpOption(place.option, place.least ?? 2);
  return at < 0 ? -1 : at + place.at;
}

/** Some bits of a number as the value they stand for. */
export function extract({ mask, shift = 0 }: HeaderPlace, raw: number): number {
  if (mask === undefined) return raw;
  const bits = raw & mask;
  return shift >= 0 ? bits >>> shift : bits << -shift;
}

/** Reads the field at `place`; made once, so that a packet costs one call. */
export function placeReader(place: HeaderPlace): NumberReader {
  const { header, at, size, flow } = place;
  const raw = RAW[size];
  if (place.option !== undefined || place.when !== undefined) {
    return (v) => {
      const from = locatePlace(place, v);
      return from < 0 ? -1 : raw(v.b, from);
    };
  }
  const read = bitsOf(place, raw);
  if (flow === undefined) {
    return (v) => {
      const from = v.locate()[header];
      return from < 0 ? -1 : read(v.b, from + at);
    };
  }
  return (v) => {
    const from = v.locate()[header];
    if (from >= 0) return read(v.b, from + at);
    return v.flow === undefined ? -1 : fromFlow(v.flow, flow, place);
  };
}

const RAW = { 1: (b: Uint8Array, at: number) => b[at]!, 2: get16, 4: get32, 6: getMac } as const;

function bitsOf(place: HeaderPlace, raw: (b: Uint8Array, at: number) => number): (b: Uint8Array, at: number) => number {
  const { mask, shift = 0 } = place;
  if (mask === undefined) return raw;
  // One bit is a flag, wherever it stands.
  if (shift === 0 && (mask & (mask - 1)) === 0) return (b, at) => ((raw(b, at) & mask) === 0 ? 0 : 1);
  return (b, at) => extract(place, raw(b, at));
}

/** What IP is going to write. A TTL of 0 means the default, which only IP knows. */
function fromFlow(flow: FlowI4, key: NonNullable<HeaderPlace['flow']>, place: HeaderPlace): number {
  if (key === 'df') return flow.df ? 1 : 0;
  if (key === 'ttl') return flow.ttl === 0 ? -1 : flow.ttl;
  return extract(place, flow[key]);
}

/** Some bits of `raw` replaced by a value; `undefined`: there is no way to write that value into them. */
export function insert(place: HeaderPlace, raw: number, value: number): number | undefined {
  const { size, mask, shift = 0 } = place;
  if (mask === undefined) return value < 2 ** (8 * size) ? value : undefined;
  const flag = shift === 0 && (mask & (mask - 1)) === 0;
  const bits = flag ? (value === 0 ? 0 : mask) : shift >= 0 ? value * 2 ** shift : value / 2 ** -shift;
  if (!Number.isInteger(bits) || bits < 0 || bits > mask || (bits & mask) !== bits) return undefined;
  return (raw & ~mask) | bits;
}

export const readRaw = ({ size }: HeaderPlace, b: Uint8Array, at: number): number => RAW[size](b, at);

export function writeRaw({ size }: HeaderPlace, b: Uint8Array, at: number, raw: number): void {
  if (size === 1) b[at] = raw;
  else if (size === 2) put16(b, at, raw);
  else if (size === 4) put32(b, at, raw);
  else putMac(b, at, raw);
}

import { CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, type FlowI4, type SkBuff } from '@skbus/skb';
import { finish, fold, get16, get32, IPV4_HLEN, put16, sumBytes, TCP_HLEN, updateIpv4Checksum } from '@skbus/wire';
import { FilterFailure } from './filter/failure.ts';
import { filterField, unknownField, type FilterField, type HeaderPlace } from './filter/fields.ts';
import { insert, locatePlace, readRaw, writeRaw } from './filter/header-place.ts';
import { HEADERS_MAX, PacketView } from './filter/packet-view.ts';
import type { HeaderStart } from './filter/subject.ts';
import { numberLiteral, type NumberType } from './filter/values.ts';

/** Header fields by the filter's names, and what they shall be: `{ 'tcp.window_size_value': '0' }`. */
export type FieldValues = Readonly<Record<string, string>>;

/** Why they cannot be set, whatever the packet; `undefined`: they can. */
export function checkFields(fields: FieldValues): string | undefined {
  try {
    for (const [name, text] of Object.entries(fields)) assignment(name, text);
    return undefined;
  } catch (e) {
    if (e instanceof FilterFailure) return e.message;
    throw e;
  }
}

/**
 * Sets header fields. `fix`: checksums follow, TCP's and UDP's by what has changed (RFC 1624), so that one that was wrong stays
 * wrong; one that the device will work out is left to it. `keep`: they stay those of the packet as it was, and whoever comes
 * next is made to look at them; only a packet yet to be cut into segments gets right ones for each. A checksum that is set itself is
 * never touched otherwise. False, and nothing is changed: the packet has not all of the fields.
 */
export function setFields(skb: SkBuff, starts: HeaderStart, fields: FieldValues, csum: 'fix' | 'keep'): boolean {
  const view = look(skb, starts);
  const writes: Write[] = [];
  const puts: (() => void)[] = [];
  for (const [name, text] of Object.entries(fields)) {
    const { place, put, value } = assignment(name, text);
    if (put !== undefined) puts.push(() => put(skb, value));
    if (place === undefined) continue;
    const at = locatePlace(place, view);
    if (at < 0 && (place.flow === undefined || view.flow === undefined)) return false;
    writes.push({ place, value, at, name });
  }
  for (const put of puts) put();
  if (writes.length === 0) return true;
  const sums = new TransportSum(skb, view);
  for (const w of writes) write(view, w);
  const touched = (header: string): boolean => writes.some((w) => w.at >= 0 && w.place.header === header);
  const given = (header: string): boolean => `${header}.checksum` in fields;
  const { transport } = sums;
  if (transport !== undefined && given(transport)) sums.given();
  else if (transport !== undefined && (touched(transport) || touched('ip') || writes.some((w) => w.at < 0)))
    sums.settle(csum);
  if (csum === 'fix' && touched('ip') && !given('ip')) fixIp(skb, view.ip);
  return true;
}

/**
 * Cuts an skb to so many bytes from `data`. What its headers say about its length stays, so receivers see a short packet; that its
 * checksum was found right is forgotten.
 */
export function truncateSkb(skb: SkBuff, starts: HeaderStart, bytes: number): void {
  if (bytes >= skb.len) return;
  skb.trim(bytes);
  const field = skb.csumStart + skb.csumOffset;
  if (skb.ipSummed === CHECKSUM_UNNECESSARY || (skb.ipSummed === CHECKSUM_PARTIAL && field + 2 > skb.tail))
    skb.ipSummed = CHECKSUM_NONE;
  if (skb.gsoSize === 0) return;
  const view = look(skb, starts);
  const hlen = view.tcpHeaderLen();
  const payload = hlen < 0 ? 0 : view.ipEnd - view.tcp - hlen;
  skb.gsoSegs = Math.ceil(payload / skb.gsoSize);
  if (payload <= skb.gsoSize) skb.gsoSize = skb.gsoSegs = skb.gsoType = 0;
}

type FieldPut = NonNullable<FilterField['put']>;

interface Write {
  place: HeaderPlace;
  value: number;
  /** -1: the flow has it. */
  at: number;
  name: string;
}

/** What to write where. Throws FilterFailure. */
function assignment(name: string, text: string): { place?: HeaderPlace; put?: FieldPut; value: number } {
  const field = filterField(name);
  if (field === undefined) throw new FilterFailure(NOWHERE, unknownField(name));
  const { place, put } = field;
  if (place === undefined && put === undefined) throw new FilterFailure(NOWHERE, cannotSet(field));
  const token = { kind: 'word' as const, text, ...NOWHERE };
  const { value, mask } = numberLiteral(token, field.type as NumberType, field.max ?? 0xffffffff, name);
  if (mask !== undefined) throw new FilterFailure(NOWHERE, `${name} is one address, and ${text} is many`);
  if (place !== undefined && insert(place, 0, value) === undefined)
    throw new FilterFailure(
      NOWHERE,
      `${name} cannot be ${text}: its header counts in units of ${2 ** Math.abs(place.shift ?? 0)}`,
    );
  return { ...(place && { place }), ...(put && { put }), value };
}

function cannotSet(f: FilterField): string {
  if ((f.read?.length ?? 0) > 1) return `${f.name} is several fields: set one of them`;
  return `${f.name} stands in no header: it cannot be set`;
}

const NOWHERE = { column: 0, length: 1 };
const SEAM = { layer: '', dir: 'rx', func: '' } as const;
const shared = new PacketView();

/** The headers in the skb's own linear part, where they can be written. */
function look(skb: SkBuff, starts: HeaderStart): PacketView {
  shared.look({ seam: SEAM, skb, starts });
  shared.tcpHeaderLen();
  shared.tcpOption(0xff, 2);
  if (!shared.isCopy) return shared;
  skb.mayPull(Math.min(skb.len, HEADERS_MAX));
  shared.look({ seam: SEAM, skb, starts });
  return shared.locate();
}

function write(view: PacketView, { place, value, at }: Write): void {
  if (at >= 0) {
    writeRaw(place, view.b, at, insert(place, readRaw(place, view.b, at), value)!);
    return;
  }
  const flow = view.flow!;
  if (place.flow === 'df') flow.df = value !== 0;
  else flow[place.flow!] = insert(place, flow[place.flow!], value)!;
}

function fixIp(skb: SkBuff, ip: number): void {
  const hlen = (skb.buf[ip]! & 15) * 4;
  if (hlen >= IPV4_HLEN && ip + hlen <= skb.tail) updateIpv4Checksum(skb.buf, ip, hlen);
}

const CHECKSUM_AT = { tcp: 16, udp: 6, icmp: 2 } as const;
/** A multiple of 0xffff, which is 0 in one's complement, so that a difference is never negative. */
const ZERO = 0xffff * 0x10000;

/** The transport header's checksum through a change: what it summed up before, and what that is now. */
class TransportSum {
  readonly transport: 'tcp' | 'udp' | 'icmp' | undefined;
  private readonly skb: SkBuff;
  private readonly flow: FlowI4 | undefined;
  private readonly ip: number;
  private readonly at: number;
  private readonly length: number;
  /** Where the checksum stands. */
  private readonly field: number;
  private readonly header: number;
  private readonly addresses: number;

  constructor(skb: SkBuff, view: PacketView) {
    this.skb = skb;
    this.flow = view.flow;
    this.ip = view.ip;
    this.transport = view.tcp >= 0 ? 'tcp' : view.udp >= 0 ? 'udp' : view.icmp >= 0 ? 'icmp' : undefined;
    this.at = this.transport ? view[this.transport] : -1;
    this.length = this.transport === 'tcp' ? Math.max(TCP_HLEN, view.tcpHeaderLen()) : 8;
    this.field = this.transport ? this.at + CHECKSUM_AT[this.transport] : -1;
    this.header = this.headerSum();
    this.addresses = this.addressSum();
  }

  /** The field says what somebody set it to: nobody shall work it out any more, and somebody shall look. */
  given(): void {
    this.skb.ipSummed = CHECKSUM_NONE;
  }

  settle(csum: 'fix' | 'keep'): void {
    const { skb, field } = this;
    const header = ZERO + this.headerSum() - this.header;
    const addresses = ZERO + this.addressSum() - this.addresses;
    const old = get16(skb.buf, field);
    if (skb.ipSummed === CHECKSUM_PARTIAL && skb.csumStart === this.at) {
      // The field holds the sum of the addresses, and the rest will be added to it.
      put16(skb.buf, field, fold(csum === 'fix' ? old + addresses : old + ZERO + ZERO - header));
      return;
    }
    if (csum === 'keep') {
      if (skb.ipSummed === CHECKSUM_UNNECESSARY) skb.ipSummed = CHECKSUM_NONE;
      return;
    }
    if (this.transport === 'udp' && old === 0) return;
    const sum = finish((old ^ 0xffff) + header + addresses);
    put16(skb.buf, field, this.transport === 'udp' && sum === 0 ? 0xffff : sum);
  }

  private headerSum(): number {
    return this.at < 0 ? 0 : sumBytes(this.skb.buf, this.at, this.length) - get16(this.skb.buf, this.field);
  }

  /** ICMP does not sum them up. */
  private addressSum(): number {
    if (this.transport === 'icmp' || this.transport === undefined) return 0;
    const { buf } = this.skb;
    if (this.ip >= 0) return halves(get32(buf, this.ip + 12)) + halves(get32(buf, this.ip + 16));
    return this.flow ? halves(this.flow.saddr) + halves(this.flow.daddr) : 0;
  }
}

const halves = (address: number): number => (address >>> 16) + (address & 0xffff);

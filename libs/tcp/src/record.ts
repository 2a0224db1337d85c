import type { Ipv4Addr, Millis } from '@skbus/skb';
import { findCongestionControl } from './cong/registry.ts';
import { ECN_OK } from './ecn.ts';
import type { RequestSock } from './request.ts';
import type { TcpSock } from './sock.ts';
import type { TimeWaitSock } from './timewait.ts';

/**
 * The record of a connection (SkRecord.data): what another process needs to go on with it, besides the offsets that the
 * socket layer knows. It says what the handshake agreed on and changes only a few times in a life; nothing in it is written per
 * segment. See docs/adr/0009-tcp-death.md.
 */

/** Another layout has another number: a record that cannot be read is a connection that cannot be restored. */
const VERSION = 1;

export const RecordKind = { Conn: 0, Request: 1, TimeWait: 2 } as const;

export interface ConnRecord {
  /** RecordKind */
  kind: number;
  /** Of a connection SYN_SENT, SYN_RECV or ESTABLISHED; the substate of a TIME-WAIT. */
  state: number;
  laddr: Ipv4Addr;
  lport: number;
  raddr: Ipv4Addr;
  rport: number;
  /** Our ISN; of a TIME-WAIT our next number. */
  iss: number;
  /** The peer's ISN; of a TIME-WAIT its next number. */
  irs: number;
  /** What the SYN-ACK acknowledges. */
  ack32: number;
  tsOk: boolean;
  sackOk: boolean;
  wscaleOk: boolean;
  ecnOk: boolean;
  /** AccECN was negotiated; then the codepoint that the peer's SYN came with. */
  accEcn: boolean;
  synRcv: number;
  /** bind() named the port, and the address. */
  explicitPort: boolean;
  boundAddr: boolean;
  /** SYN_RECV of a child that Fast Open made. */
  fastOpen: boolean;
  sndWscale: number;
  rcvWscale: number;
  tsOffset: number;
  /** Only of a request and a TIME-WAIT, where it stays as it is. */
  tsRecent: number;
  mtu: number;
  mssClamp: number;
  advMss: number;
  /** Of the time of the record; 0: not known. */
  srttMs: Millis;
  /** When the first SYN was sent. */
  synMs: Millis;
  /** Of a request and a TIME-WAIT. */
  rcvWnd: number;
  /** The receive buffer was never larger than this. */
  rcvbuf: number;
  /** How long a TIME-WAIT lasts. */
  lastsMs: Millis;
  tos: number;
  ttl: number;
  congestion: string;
}

const TS_OK = 1;
const SACK_OK = 2;
const WSCALE_OK = 4;
const ECN = 8;
const ACC_ECN = 16;
const EXPLICIT_PORT = 32;
const BOUND_ADDR = 64;
const FAST_OPEN = 128;

const FIXED_BYTES = 82;

/** A record that the peer's segments may change is a power of two, so that it changes seldom. */
export const rcvbufStep = (rcvbuf: number): number => 32 - Math.clz32(Math.max(1, rcvbuf - 1));

const EMPTY: ConnRecord = {
  kind: RecordKind.Conn,
  state: 0,
  laddr: 0,
  lport: 0,
  raddr: 0,
  rport: 0,
  iss: 0,
  irs: 0,
  ack32: 0,
  tsOk: false,
  sackOk: false,
  wscaleOk: false,
  ecnOk: false,
  accEcn: false,
  synRcv: 0,
  explicitPort: false,
  boundAddr: false,
  fastOpen: false,
  sndWscale: 0,
  rcvWscale: 0,
  tsOffset: 0,
  tsRecent: 0,
  mtu: 0,
  mssClamp: 0,
  advMss: 0,
  srttMs: 0,
  synMs: 0,
  rcvWnd: 0,
  rcvbuf: 0,
  lastsMs: 0,
  tos: 0,
  ttl: 0,
  congestion: '',
};

export function recordOfSock(sk: TcpSock, state: number): Uint8Array {
  return encodeRecord({
    ...EMPTY,
    state,
    laddr: sk.laddr,
    lport: sk.lport,
    raddr: sk.raddr,
    rport: sk.rport,
    iss: sk.iss,
    irs: sk.irs,
    tsOk: sk.tsOk,
    sackOk: sk.sackOk,
    wscaleOk: sk.wscaleOk,
    ecnOk: (sk.ecnFlags & ECN_OK) !== 0,
    accEcn: sk.accecn !== undefined,
    synRcv: sk.accecn?.synRcv ?? 0,
    explicitPort: sk.explicitPort,
    boundAddr: sk.boundAddr !== 0,
    fastOpen: sk.fastopen?.req !== undefined,
    sndWscale: sk.sndWscale,
    rcvWscale: sk.rcvWscale,
    tsOffset: sk.tsOffset,
    mtu: sk.mtu,
    mssClamp: sk.mssClamp,
    advMss: sk.advMss,
    srttMs: sk.rtt.srttMs,
    synMs: sk.retransStampMs,
    rcvbuf: sk.rcvbuf,
    congestion: sk.cc.name,
  });
}

export function recordOfRequest(req: RequestSock): Uint8Array {
  return encodeRecord({
    ...EMPTY,
    kind: RecordKind.Request,
    laddr: req.laddr,
    lport: req.lport,
    raddr: req.raddr,
    rport: req.rport,
    iss: req.iss32,
    irs: req.irs32,
    ack32: req.ack32,
    tsOk: req.tsOk,
    sackOk: req.sackOk,
    wscaleOk: req.wscaleOk,
    ecnOk: req.ecnOk,
    accEcn: req.accecn !== undefined,
    synRcv: req.accecn?.synRcv ?? 0,
    sndWscale: req.sndWscale,
    rcvWscale: req.rcvWscale,
    tsOffset: req.tsOffset,
    tsRecent: req.tsRecent,
    mtu: req.mtu,
    mssClamp: req.peerMss,
    advMss: req.advMss,
    rcvWnd: req.rcvWnd,
  });
}

export function recordOfTimeWait(tw: TimeWaitSock, lastsMs: Millis): Uint8Array {
  return encodeRecord({
    ...EMPTY,
    kind: RecordKind.TimeWait,
    state: tw.substate,
    laddr: tw.laddr,
    lport: tw.lport,
    raddr: tw.raddr,
    rport: tw.rport,
    iss: tw.sndNxt32,
    irs: tw.rcvNxt32,
    tsOk: tw.tsOk,
    tsOffset: tw.tsOffset,
    tsRecent: tw.tsRecent,
    explicitPort: tw.explicitPort,
    boundAddr: tw.boundAddr !== 0,
    rcvWscale: tw.rcvWscale,
    rcvWnd: tw.rcvWnd,
    lastsMs,
    tos: tw.tos,
    ttl: tw.ttl,
  });
}

function encodeRecord(r: ConnRecord): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES + r.congestion.length);
  const v = new DataView(bytes.buffer);
  v.setUint8(0, VERSION);
  v.setUint8(1, r.kind);
  v.setUint8(2, r.state);
  v.setUint8(3, (r.rcvWscale << 4) | r.sndWscale);
  v.setUint8(4, flagsOf(r));
  v.setUint8(5, rcvbufStep(r.rcvbuf));
  v.setUint8(6, r.synRcv);
  v.setUint8(7, r.tos);
  v.setUint8(8, r.ttl);
  v.setUint8(9, r.congestion.length);
  v.setUint32(10, r.laddr);
  v.setUint32(14, r.raddr);
  v.setUint16(18, r.lport);
  v.setUint16(20, r.rport);
  v.setUint32(22, r.iss);
  v.setUint32(26, r.irs);
  v.setUint32(30, r.ack32);
  v.setUint32(34, r.tsOffset);
  v.setUint32(38, r.tsRecent);
  v.setUint32(42, r.mtu);
  v.setUint32(46, r.mssClamp);
  v.setUint32(50, r.advMss);
  v.setUint32(54, r.rcvWnd);
  v.setFloat64(58, r.srttMs);
  v.setFloat64(66, r.synMs);
  v.setFloat64(74, r.lastsMs);
  for (let i = 0; i < r.congestion.length; i++) v.setUint8(FIXED_BYTES + i, r.congestion.charCodeAt(i));
  return bytes;
}

/** `undefined`: of another version, or none of ours. */
export function decodeRecord(bytes: Uint8Array): ConnRecord | undefined {
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return undefined;
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = v.getUint8(4);
  const name = bytes.subarray(FIXED_BYTES, FIXED_BYTES + v.getUint8(9));
  const record: ConnRecord = {
    kind: v.getUint8(1),
    state: v.getUint8(2),
    laddr: v.getUint32(10),
    lport: v.getUint16(18),
    raddr: v.getUint32(14),
    rport: v.getUint16(20),
    iss: v.getUint32(22),
    irs: v.getUint32(26),
    ack32: v.getUint32(30),
    tsOk: (flags & TS_OK) !== 0,
    sackOk: (flags & SACK_OK) !== 0,
    wscaleOk: (flags & WSCALE_OK) !== 0,
    ecnOk: (flags & ECN) !== 0,
    accEcn: (flags & ACC_ECN) !== 0,
    synRcv: v.getUint8(6),
    explicitPort: (flags & EXPLICIT_PORT) !== 0,
    boundAddr: (flags & BOUND_ADDR) !== 0,
    fastOpen: (flags & FAST_OPEN) !== 0,
    sndWscale: v.getUint8(3) & 15,
    rcvWscale: v.getUint8(3) >>> 4,
    tsOffset: v.getUint32(34),
    tsRecent: v.getUint32(38),
    mtu: v.getUint32(42),
    mssClamp: v.getUint32(46),
    advMss: v.getUint32(50),
    srttMs: v.getFloat64(58),
    synMs: v.getFloat64(66),
    rcvWnd: v.getUint32(54),
    rcvbuf: 2 ** v.getUint8(5),
    lastsMs: v.getFloat64(74),
    tos: v.getUint8(7),
    ttl: v.getUint8(8),
    congestion: String.fromCharCode(...name),
  };
  return record.kind !== RecordKind.Conn || findCongestionControl(record.congestion) !== undefined ? record : undefined;
}

function flagsOf(r: ConnRecord): number {
  return (
    (r.tsOk ? TS_OK : 0) |
    (r.sackOk ? SACK_OK : 0) |
    (r.wscaleOk ? WSCALE_OK : 0) |
    (r.ecnOk ? ECN : 0) |
    (r.accEcn ? ACC_ECN : 0) |
    (r.explicitPort ? EXPLICIT_PORT : 0) |
    (r.boundAddr ? BOUND_ADDR : 0) |
    (r.fastOpen ? FAST_OPEN : 0)
  );
}

import type { ProtoView, SkCmd, SkEvt, SkView } from '@skbus/skb';
import type { ProtoIn, ProtoOut } from './proto-wire.ts';

// What goes over the socket seam all the time, levels and bytes, written and read in place. Tags are field number << 3 | wire
// type, of proto/skbus/v1/socket.proto; codec.spec.ts holds them against the generated code.

/** What the fields of a command or event take at most and about, besides the bytes of its data. */
export const SEAM_FIELDS_MAX = 256;
const FIELDS_ABOUT = 20;
const VIEW_ABOUT = 64;
const DATA_ABOUT = 12;

/** `sk`, `view` and `data` of a command, as field 2 of a list. */
export function writeCmd(out: ProtoOut, c: SkCmd): void {
  const { view, data } = c;
  const opened = out.open(18, FIELDS_ABOUT + (view ? VIEW_ABOUT : 0) + (data ? data.data.length : 0));
  out.uint32(8, c.sk);
  if (view) writeSkView(out, view);
  if (data) {
    const inner = out.open(90, data.data.length + DATA_ABOUT);
    out.double(9, data.offset);
    out.bytes(18, data.data, 0, data.data.length);
    out.bool(24, data.more);
    out.bool(32, data.eor);
    out.close(inner);
  }
  out.close(opened);
}

function writeSkView(out: ProtoOut, v: SkView): void {
  const opened = out.open(82, VIEW_ABOUT);
  out.double(9, v.sndTo);
  out.double(17, v.rcvGot);
  out.double(25, v.rcvRead);
  out.bool(32, v.finGot);
  out.bool(40, v.haveChild);
  out.bool(48, v.accepted);
  out.double(57, v.urgTo ?? 0);
  out.bool(64, v.noSpace);
  out.double(73, v.rcvGapTo ?? 0);
  out.uint32(160, v.recordSeq ?? 0);
  out.close(opened);
}

/** `sk`, `opAck`, `opErrno`, `view` and `data` of an event, as field 2 of a list. */
export function writeEvt(out: ProtoOut, e: SkEvt): void {
  const { view, data } = e;
  const opened = out.open(18, FIELDS_ABOUT + (view ? VIEW_ABOUT : 0) + (data ? data.data.length : 0));
  out.uint32(8, e.sk);
  out.uint32(16, e.opAck);
  out.uint32(24, e.opErrno);
  if (view) writeProtoView(out, view);
  if (data) {
    const inner = out.open(50, data.data.length + DATA_ABOUT);
    out.double(9, data.offset);
    out.bytes(18, data.data, 0, data.data.length);
    out.close(inner);
  }
  out.close(opened);
}

function writeProtoView(out: ProtoOut, v: ProtoView): void {
  const opened = out.open(42, VIEW_ABOUT);
  out.uint32(8, v.state);
  out.fixed32(21, v.laddr);
  out.uint32(24, v.lport);
  out.fixed32(37, v.raddr);
  out.uint32(40, v.rport);
  out.double(49, v.sndGot);
  out.double(57, v.sndUna);
  out.double(65, v.sndLimit);
  out.double(73, v.rcvNxt);
  out.bool(80, v.finRcvd);
  out.bool(88, v.finAcked);
  out.uint32(96, v.err);
  out.uint32(104, v.softErr);
  out.double(113, v.urgAt ?? 0);
  out.uint32(120, v.urgByte ?? 0);
  out.uint32(128, v.sndGoal ?? 0);
  out.uint32(136, v.sndBurst ?? 0);
  out.double(145, v.sndNxt ?? 0);
  out.uint32(320, v.sndbuf ?? 0);
  out.close(opened);
}

/** The reader is odd afterwards if there was more. */
export function readCmd(input: ProtoIn): SkCmd {
  const c: SkCmd = { sk: 0, opSeq: 0, view: null, data: null };
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) c.sk = input.uint32();
    else if (tag === 82) c.view = readSkView(input);
    else if (tag === 90) c.data = readSkData(input);
    else input.isOdd();
  }
  return c;
}

function readSkView(input: ProtoIn): SkView {
  const v = {
    sndTo: 0,
    rcvGot: 0,
    rcvRead: 0,
    finGot: false,
    haveChild: false,
    accepted: false,
    urgTo: 0,
    noSpace: false,
    rcvGapTo: 0,
    recordSeq: 0,
  };
  const outer = input.enter();
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    switch (tag) {
      case 9:
        v.sndTo = input.double();
        break;
      case 17:
        v.rcvGot = input.double();
        break;
      case 25:
        v.rcvRead = input.double();
        break;
      case 32:
        v.finGot = input.bool();
        break;
      case 40:
        v.haveChild = input.bool();
        break;
      case 48:
        v.accepted = input.bool();
        break;
      case 57:
        v.urgTo = input.double();
        break;
      case 64:
        v.noSpace = input.bool();
        break;
      case 73:
        v.rcvGapTo = input.double();
        break;
      case 160:
        v.recordSeq = input.uint32();
        break;
      default:
        input.isOdd();
    }
  }
  input.leave(outer);
  return v;
}

/** SkData, and ProtoData, which has its first two fields. */
function readSkData(input: ProtoIn): NonNullable<SkCmd['data']> {
  const d = { offset: 0, data: EMPTY, more: false, eor: false };
  const outer = input.enter();
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 9) d.offset = input.double();
    else if (tag === 18) d.data = input.bytes();
    else if (tag === 24) d.more = input.bool();
    else if (tag === 32) d.eor = input.bool();
    else input.isOdd();
  }
  input.leave(outer);
  return d;
}

export function readEvt(input: ProtoIn): SkEvt {
  const e: SkEvt = { sk: 0, opAck: 0, opErrno: 0, view: null, data: null };
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) e.sk = input.uint32();
    else if (tag === 16) e.opAck = input.uint32();
    else if (tag === 24) e.opErrno = input.uint32();
    else if (tag === 42) e.view = readProtoView(input);
    else if (tag === 50) e.data = readSkData(input);
    else input.isOdd();
  }
  return e;
}

function readProtoView(input: ProtoIn): ProtoView {
  const v = {
    state: 0,
    laddr: 0,
    lport: 0,
    raddr: 0,
    rport: 0,
    sndGot: 0,
    sndUna: 0,
    sndLimit: 0,
    rcvNxt: 0,
    finRcvd: false,
    finAcked: false,
    err: 0,
    softErr: 0,
    urgAt: 0,
    urgByte: 0,
    sndGoal: 0,
    sndBurst: 0,
    sndNxt: 0,
    sndbuf: 0,
  };
  const outer = input.enter();
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    switch (tag) {
      case 8:
        v.state = input.uint32();
        break;
      case 21:
        v.laddr = input.fixed32();
        break;
      case 24:
        v.lport = input.uint32();
        break;
      case 37:
        v.raddr = input.fixed32();
        break;
      case 40:
        v.rport = input.uint32();
        break;
      case 49:
        v.sndGot = input.double();
        break;
      case 57:
        v.sndUna = input.double();
        break;
      case 65:
        v.sndLimit = input.double();
        break;
      case 73:
        v.rcvNxt = input.double();
        break;
      case 80:
        v.finRcvd = input.bool();
        break;
      case 88:
        v.finAcked = input.bool();
        break;
      case 96:
        v.err = input.uint32();
        break;
      case 104:
        v.softErr = input.uint32();
        break;
      case 113:
        v.urgAt = input.double();
        break;
      case 120:
        v.urgByte = input.uint32();
        break;
      case 128:
        v.sndGoal = input.uint32();
        break;
      case 136:
        v.sndBurst = input.uint32();
        break;
      case 145:
        v.sndNxt = input.double();
        break;
      case 320:
        v.sndbuf = input.uint32();
        break;
      default:
        input.isOdd();
    }
  }
  input.leave(outer);
  return v;
}

const EMPTY: Uint8Array = new Uint8Array(0);

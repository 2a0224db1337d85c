import { skbus } from '../gen/skbus.js';
import { ProtoIn, ProtoOut } from './proto-wire.ts';

// The door's messages. A program that reads and writes needs two of each per turn: those (recvfrom, sendto and their answers)
// are written and read in place, all others by the generated code. Tags are field number << 3 | wire type, of
// proto/skbus/v1/door.proto; codec.spec.ts holds them against the generated code.

type Request = skbus.v1.DoorRequest.$Properties;
type Reply = skbus.v1.DoorReply.$Properties;

const out = new ProtoOut();
const input = new ProtoIn();

/** More than a message takes that is written here. */
const BYTES_MAX = 128;
const CALL_ABOUT = 16;

/** `id` and `seen` are said beside the call, which may be asked again. */
export function encodeDoorRequest(call: Request, id: number, seen: number): Uint8Array {
  const { recvfrom, sendto } = call;
  if (!recvfrom && (!sendto || sendto.to)) return skbus.v1.DoorRequest.encode({ ...call, id, seen }).finish();
  out.begin(BYTES_MAX);
  out.uint32(8, id);
  const opened = out.open(recvfrom ? 66 : 58, CALL_ABOUT);
  if (recvfrom) {
    out.sint32(8, recvfrom.fd ?? 0);
    out.sint32(16, recvfrom.len ?? 0);
    out.sint32(24, recvfrom.flags ?? 0);
  } else {
    out.sint32(8, sendto!.fd ?? 0);
    out.sint32(16, sendto!.flags ?? 0);
  }
  out.close(opened);
  out.uint32(152, seen);
  out.bool(184, call.later);
  return out.finish();
}

/** Throws: the bytes are no DoorRequest. */
export function decodeDoorRequest(message: Uint8Array): Request {
  const r: Request = { id: 0, seen: 0, later: false, recvfrom: null, sendto: null };
  input.begin(message);
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) r.id = input.uint32();
    else if (tag === 66) r.recvfrom = readRecvfrom();
    else if (tag === 58) r.sendto = readSendto();
    else if (tag === 152) r.seen = input.uint32();
    else if (tag === 184) r.later = input.bool();
    else input.isOdd();
  }
  // of several calls the last one counts, which the generated code knows
  return input.odd || (r.recvfrom && r.sendto) ? skbus.v1.DoorRequest.decode(message) : r;
}

function readRecvfrom(): skbus.v1.DoorRecvfrom.$Properties {
  const call = { fd: 0, len: 0, flags: 0 };
  const outer = input.enter();
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) call.fd = input.sint32();
    else if (tag === 16) call.len = input.sint32();
    else if (tag === 24) call.flags = input.sint32();
    else input.isOdd();
  }
  input.leave(outer);
  return call;
}

function readSendto(): skbus.v1.DoorSendto.$Properties {
  const call = { fd: 0, flags: 0, to: null };
  const outer = input.enter();
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) call.fd = input.sint32();
    else if (tag === 16) call.flags = input.sint32();
    else input.isOdd();
  }
  input.leave(outer);
  return call;
}

export function encodeDoorReply(r: Reply): Uint8Array {
  if (
    r.addr ||
    r.local ||
    r.value ||
    r.revents?.length ||
    r.error ||
    r.files?.length ||
    r.ready?.length ||
    r.inq != null
  )
    return skbus.v1.DoorReply.encode(r).finish();
  out.begin(BYTES_MAX);
  out.uint32(8, r.id ?? 0);
  out.uint32(16, r.errno ?? 0);
  out.sint32(24, r.result ?? 0);
  out.uint32(48, r.msgFlags ?? 0);
  out.uint32(88, r.sk ?? 0);
  out.double(97, r.rcvTo ?? 0);
  return out.finish();
}

/** Throws: the bytes are no DoorReply. */
export function decodeDoorReply(message: Uint8Array): skbus.v1.DoorReply {
  const r = { ...NO_REPLY };
  input.begin(message);
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag === 8) r.id = input.uint32();
    else if (tag === 16) r.errno = input.uint32();
    else if (tag === 24) r.result = input.sint32();
    else if (tag === 48) r.msgFlags = input.uint32();
    else if (tag === 88) r.sk = input.uint32();
    else if (tag === 97) r.rcvTo = input.double();
    else input.isOdd();
  }
  return input.odd ? skbus.v1.DoorReply.decode(message) : (r as unknown as skbus.v1.DoorReply);
}

/** As the generated code's prototype has it. */
const NO_REPLY = {
  id: 0,
  errno: 0,
  result: 0,
  addr: null,
  local: null,
  msgFlags: 0,
  value: null,
  revents: [] as readonly number[],
  error: '',
  inq: null,
  sk: 0,
  rcvTo: 0,
  files: [] as readonly never[],
  ready: [] as readonly never[],
};

import { AF_INET, SHUT_WR, SOCK_DGRAM, SOCK_STREAM } from '@skbus/skb';
import { pattern, patternByte, sockAddr } from '@skbus/sim';
import type { Workload } from '../plan.ts';
import { CallFailed, must, type Task, type Tasks } from './task.ts';

const CHUNK = 65_536;
const ECHO_PORT = 7;

/** Bytes that arrived at a program, and whether they were the right ones. */
export interface Arrival {
  got: number;
  right: boolean;
}

export interface ServerHooks {
  workloads: readonly Workload[];
  /** So many bytes of an upload have arrived. */
  arrived(index: number, bytes: readonly Uint8Array[]): void;
}

/** What a side offers: port 80, where the first byte says which workload it is, and echo on port 7, TCP and UDP. */
export function serve(on: Tasks, hooks: ServerHooks): void {
  on.start(accepting(on, 80, (fd) => transfers(fd, hooks)));
  on.start(accepting(on, ECHO_PORT, echo));
  on.start(echoUdp());
}

function* accepting(on: Tasks, port: number, each: (fd: number) => Task): Task {
  const { result: fd } = yield* must({ call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 });
  yield* must({ call: 'bind', fd, addr: sockAddr(0, port) });
  yield* must({ call: 'listen', fd, backlog: 128 });
  for (;;) {
    const { errno, result } = yield { call: 'accept', fd, flags: 0 };
    if (errno === 0) on.start(closing(result, each(result)));
  }
}

/** What a connection dies of is the client's to tell. */
function* closing(fd: number, task: Task): Task {
  try {
    yield* task;
  } catch (e) {
    if (!(e instanceof CallFailed)) throw e;
  }
  yield { call: 'close', fd };
}

function* transfers(fd: number, hooks: ServerHooks): Task {
  const first = yield* must({ call: 'recvfrom', fd, len: 1, flags: 0 });
  const index = first.data?.[0]?.[0];
  const w = index === undefined ? undefined : hooks.workloads[index];
  if (w === undefined || index === undefined) return;
  if (w.kind === 'download') {
    yield* sendPattern(fd, w.bytes);
    yield* must({ call: 'shutdown', fd, how: SHUT_WR });
    yield* drain(fd);
    return;
  }
  for (let got = 0; got < w.bytes;) {
    const r = yield* must({ call: 'recvfrom', fd, len: CHUNK, flags: 0 });
    if (r.result === 0) return;
    got += r.result;
    hooks.arrived(index, r.data ?? []);
  }
  yield* sendAll(fd, Uint8Array.of(index));
}

function* drain(fd: number): Task {
  while ((yield* must({ call: 'recvfrom', fd, len: CHUNK, flags: 0 })).result > 0);
}

function* echo(fd: number): Task {
  for (;;) {
    const r = yield* must({ call: 'recvfrom', fd, len: CHUNK, flags: 0 });
    if (r.result === 0) return;
    for (const part of r.data ?? []) yield* sendAll(fd, part);
  }
}

function* echoUdp(): Task {
  const { result: fd } = yield* must({ call: 'socket', domain: AF_INET, type: SOCK_DGRAM, protocol: 0 });
  yield* must({ call: 'bind', fd, addr: sockAddr(0, ECHO_PORT) });
  for (;;) {
    const r = yield { call: 'recvfrom', fd, len: CHUNK, flags: 0 };
    if (r.errno === 0) yield { call: 'sendto', fd, data: r.data ?? [], flags: 0, to: r.addr };
  }
}

export function* sendAll(fd: number, bytes: Uint8Array): Task {
  for (let sent = 0; sent < bytes.length;)
    sent += (yield* must({ call: 'sendto', fd, data: [bytes.subarray(sent)], flags: 0, to: undefined })).result;
}

export function* sendPattern(fd: number, total: number): Task {
  for (let sent = 0; sent < total;) {
    const data = [pattern(sent, Math.min(CHUNK, total - sent))];
    sent += (yield* must({ call: 'sendto', fd, data, flags: 0, to: undefined })).result;
  }
}

export function take(a: Arrival, parts: readonly Uint8Array[]): number {
  const before = a.got;
  for (const part of parts) for (const byte of part) if (byte !== patternByte(a.got++, 0)) a.right = false;
  return a.got - before;
}

import { spawn } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import type { SysResult, TargetOptions } from '../../target.ts';
import { libcCalls as sys, memory, must, O_CLOEXEC, SOCK_STREAM } from './libc.ts';
import { freshNamespace, openTun, readCounters, writeSysctl } from './netns.ts';
import {
  ASKED,
  SCRIPT,
  SEEN,
  TUN,
  type Method,
  type Methods,
  type ReaderData,
  type Request,
  type Response,
} from './protocol.ts';
import { calls } from './syscalls.ts';
import { SYSCTL_6_12 } from './sysctl-defaults.ts';

// The process that lives in the namespace: makes the script's sockets, puts its packets on the device. It moves into a
// fresh namespace for every script, so that none sees a TIME-WAIT, a metric or a cookie of the one before.

const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SHUT_RDWR = 2;
const READER_MS = 2000;

const state = new Int32Array(new SharedArrayBuffer(16));
const wakeFd = must('eventfd', sys.eventfd(0, O_CLOEXEC));
const sockets = new Set<number>();
/** A congestion control that only a privileged socket may choose on this machine: given to every socket by hand. */
let restrictedCongestion: string | undefined;
let tun = -1;

type Handlers = {
  [M in Method]: (...args: Methods[M]['args']) => Methods[M]['result'] | Promise<Methods[M]['result']>;
};

const handlers: Handlers = {
  open(options: TargetOptions, script: number) {
    freshNamespace();
    restrictedCongestion = undefined;
    for (const [name, value] of SYSCTL_6_12) sysctl(name, value);
    tun = openTun(options);
    tellReader(tun, script);
  },
  close() {
    // Whoever still sleeps in accept() or recv() wakes; nothing lingers in the namespace that is left.
    for (const fd of sockets) {
      sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, ABORT, 8);
      sys.shutdown(fd, SHUT_RDWR);
      sys.close(fd);
    }
    sockets.clear();
    tellReader(-1, -1);
    if (tun >= 0) sys.close.async(tun, () => {});
    tun = -1;
  },
  ping: () => {},
  inject(packet) {
    const buf = memory(packet.length);
    buf.set(packet);
    must('write to the TUN device', sys.write(tun, buf, packet.length));
  },
  sysctl(name, value) {
    if (!sysctl(name, value)) throw new Error(`this kernel has no sysctl ${name}`);
  },
  counters: () => readCounters(),
  shell: (command) =>
    new Promise((resolve, reject) => {
      const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      const take = (d: Buffer): void => void (output += d.toString());
      child.stdout.on('data', take);
      child.stderr.on('data', take);
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ status: code ?? (signal === null ? 1 : 128), output }));
    }),
  async call(name, args) {
    const r = await (calls as unknown as Record<string, (...a: readonly unknown[]) => Promise<SysResult>>)[name]!(
      ...args,
    );
    if (r.ret >= 0) note(name, args, r.ret);
    return r;
  },
};

const ABORT = memory(8);
ABORT.set([1], 0);

/** Keeps track of what to close when the script ends. */
function note(name: string, args: readonly unknown[], ret: number): void {
  if (name === 'close') sockets.delete(args[0] as number);
  if (name === 'accept' || name === 'socket' || name === 'epollCreate') sockets.add(ret);
  if (name === 'socket' && restrictedCongestion !== undefined && ((args[1] as number) & 0xf) === SOCK_STREAM) {
    const text = new TextEncoder().encode(restrictedCongestion);
    const buf = memory(text.length);
    buf.set(text);
    sys.setsockopt(ret, IPPROTO_TCP, TCP_CONGESTION, buf, text.length);
  }
}

/** False: there is no such switch. */
function sysctl(name: string, value: string): boolean {
  if (!name.endsWith('tcp_congestion_control')) return writeSysctl(name, value);
  restrictedCongestion = undefined;
  try {
    return writeSysctl(name, value);
  } catch (e) {
    if ((e as { cause?: NodeJS.ErrnoException }).cause?.code !== 'EPERM') throw e;
    restrictedCongestion = value;
    return true;
  }
}

/** The reader has let go of the old device when this returns. */
function tellReader(fd: number, script: number): void {
  Atomics.store(state, TUN, fd);
  Atomics.store(state, SCRIPT, script);
  const asked = Atomics.add(state, ASKED, 1) + 1;
  const one = memory(8);
  one[0] = 1;
  sys.write(wakeFd, one, 8);
  for (let seen = Atomics.load(state, SEEN); seen !== asked; seen = Atomics.load(state, SEEN))
    if (Atomics.wait(state, SEEN, seen, READER_MS) === 'timed-out') throw new Error('the TUN reader does not answer');
}

async function serve(m: Request): Promise<void> {
  const reply: Response = { id: m.id, ns: 0n };
  try {
    reply.result = await (handlers[m.method] as (...a: readonly unknown[]) => unknown)(...m.args);
  } catch (e) {
    reply.error = e instanceof Error ? e.message : String(e);
  }
  reply.ns = process.hrtime.bigint();
  if (process.connected) process.send!(reply);
}

const workerData: ReaderData = { wakeFd, shared: state.buffer as SharedArrayBuffer };
const reader = new Worker(new URL('./tun-reader.js', import.meta.url), { workerData, name: 'tun-reader' });
reader.once('error', (e: Error) => {
  process.stderr.write(`packetdrill: the TUN reader failed: ${e.message}\n`);
  die();
});

/** Threads that sleep in the kernel would keep an ordinary exit waiting. */
const die = (): void => void process.kill(process.pid, 'SIGKILL');
process.once('disconnect', die);
process.on('message', (m: Request) => void serve(m));

import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Workload } from '../plan.ts';
import { areDemoBytes, demoBytes } from './bytes.ts';

/** What a client saw; a line of JSON each where it runs in a process of its own. */
export type Seen =
  | { kind: 'bytes'; n: number }
  | { kind: 'reply'; rttMs: number }
  | { kind: 'error'; name: string }
  /** Of a download: how much came; of an upload: how much the server says it got. */
  | { kind: 'stream'; got: number; right: boolean };

/** A socket of Node, or one of @skbus/net, which has the same surface. */
export interface Datagrams {
  send(msg: Uint8Array, done: (e: Error | null) => void): void;
  on(event: 'message', fn: (msg: Uint8Array) => void): unknown;
  on(event: 'error', fn: (e: Error) => void): unknown;
  close(): unknown;
}

/** Where a client runs: on the stack or on the peer. */
export interface World {
  connect(host: string, port: number): Duplex & { destroySoon?(): void };
  /** Connected, so that it hears of ICMP errors. */
  datagrams(host: string, port: number): Promise<Datagrams>;
}

const UDP_ANSWER_MS = 1_000;
const ECHO_BYTES = 64;

/** Does the work; ends when it is done, also when it failed. `ping` is done by programs of their own. */
export async function runClient(w: Workload, to: string, world: World, see: (s: Seen) => void): Promise<void> {
  try {
    if (w.kind === 'download') await download(w, world.connect(to, w.port), see);
    else if (w.kind === 'upload') await upload(w, world.connect(to, w.port), see);
    else if (w.kind === 'connect') await connects(w, to, world, see);
    else if (w.proto === 'udp') await echoUdp(w, await world.datagrams(to, w.port), see);
    else await echo(w, world.connect(to, w.port), see);
  } catch (e) {
    see({ kind: 'error', name: nameOf(e) });
  }
}

const nameOf = (e: unknown): string => (e as NodeJS.ErrnoException).code ?? String(e);

async function download(w: Workload, socket: Duplex, see: (s: Seen) => void): Promise<void> {
  let got = 0;
  let right = true;
  try {
    socket.write(`GET /bytes/${w.bytes} HTTP/1.1\r\nHost: skbus\r\nConnection: close\r\n\r\n`);
    for await (const body of afterHead(socket)) {
      right &&= areDemoBytes(body, got);
      got += body.length;
      see({ kind: 'bytes', n: body.length });
    }
  } finally {
    see({ kind: 'stream', got, right });
    socket.destroy();
  }
}

async function upload(w: Workload, socket: Duplex, see: (s: Seen) => void): Promise<void> {
  const hash = createHash('sha256');
  let answer = '';
  const answered = (async () => {
    for await (const body of afterHead(socket)) answer += Buffer.from(body).toString();
  })();
  // the writer sees it first, or nobody does
  answered.catch(() => {});
  try {
    socket.write(`POST /sink HTTP/1.1\r\nHost: skbus\r\nContent-Length: ${w.bytes}\r\nConnection: close\r\n\r\n`);
    for (let sent = 0; sent < w.bytes;) {
      const piece = demoBytes(sent, w.bytes);
      hash.update(piece);
      sent += piece.length;
      if (!socket.write(piece)) await Promise.race([drained(socket), answered]);
      see({ kind: 'bytes', n: piece.length });
    }
    await answered;
  } finally {
    const { bytes = 0, sha256 = '' } = parsed(answer);
    see({ kind: 'stream', got: bytes, right: sha256 === hash.digest('hex') });
    socket.destroy();
  }
}

function parsed(answer: string): { bytes?: number; sha256?: string } {
  try {
    return JSON.parse(answer) as { bytes: number; sha256: string };
  } catch {
    return {};
  }
}

const drained = (s: Duplex): Promise<void> =>
  new Promise((resolve, reject) => {
    s.once('drain', resolve);
    s.once('error', reject);
    s.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });

/** The body of an HTTP answer whose end is the end of the connection. */
async function* afterHead(socket: Duplex): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) continue;
    const body = head.subarray(end + 4);
    head = undefined;
    if (body.length > 0) yield body;
  }
}

async function connects(w: Workload, to: string, world: World, see: (s: Seen) => void): Promise<void> {
  for (let i = 0; i < w.count; i++) {
    if (i > 0) await pause(w.everyMs);
    const began = performance.now();
    const socket = world.connect(to, w.port);
    try {
      await new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
      see({ kind: 'reply', rttMs: performance.now() - began });
    } catch (e) {
      see({ kind: 'error', name: nameOf(e) });
    } finally {
      socket.on('error', () => {});
      socket.destroySoon?.();
    }
  }
}

async function echo(w: Workload, socket: Duplex, see: (s: Seen) => void): Promise<void> {
  const chunks = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    for (let i = 0; i < w.count; i++) {
      if (i > 0) await pause(w.everyMs);
      const began = performance.now();
      socket.write(new Uint8Array(ECHO_BYTES).fill(i));
      for (let got = 0; got < ECHO_BYTES;) {
        const next = await chunks.next();
        if (next.done === true) throw Object.assign(new Error('closed'), { code: 'ECONNRESET' });
        got += next.value.length;
      }
      see({ kind: 'reply', rttMs: performance.now() - began });
    }
  } finally {
    socket.destroy();
  }
}

/** Each waits a second for its answer; one that comes later is an answer to nobody. */
async function echoUdp(w: Workload, socket: Datagrams, see: (s: Seen) => void): Promise<void> {
  let heard: (msg: Uint8Array) => void = () => {};
  let failed: (e: Error) => void = () => {};
  socket.on('message', (m) => heard(m));
  socket.on('error', (e) => failed(e));
  for (let i = 0; i < w.count; i++) {
    if (i > 0) await pause(w.everyMs);
    const began = performance.now();
    const answer = new Promise<'answer' | 'none'>((resolve, reject) => {
      const timer = setTimeout(() => resolve('none'), UDP_ANSWER_MS);
      heard = (m) => {
        if (m[0] !== i >> 8 || m[1] !== (i & 0xff)) return;
        clearTimeout(timer);
        resolve('answer');
      };
      failed = (e) => {
        clearTimeout(timer);
        reject(e);
      };
    });
    socket.send(Uint8Array.of(i >> 8, i), (e) => e !== null && e !== undefined && failed(e));
    try {
      if ((await answer) === 'answer') see({ kind: 'reply', rttMs: performance.now() - began });
    } catch (e) {
      see({ kind: 'error', name: nameOf(e) });
    }
  }
  socket.close();
}

const pause = (ms: number): Promise<void> => new Promise((r) => setTimeout(r, ms));

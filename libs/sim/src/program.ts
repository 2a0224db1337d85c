import { AF_INET, errnoName, parseIpv4, SHUT_WR, SOCK_DGRAM, SOCK_STREAM, type Millis } from '@skbus/skb';
import type { ProcId, SockAddr, SysReply, SysRequest } from '@skbus/socket';
import type { Host } from './host.ts';
import type { Net } from './net.ts';

export const sockAddr = (addr: string | number, port: number): SockAddr => ({
  family: AF_INET,
  addr: typeof addr === 'number' ? addr : parseIpv4(addr)!,
  port,
});

/** Byte `at` of test stream `salt`: long period, different at every shift. */
export const patternByte = (at: number, salt: number): number =>
  (at * 31 + (at >>> 8) * 7 + (at >>> 16) * 13 + salt) & 0xff;

export function pattern(from: number, n: number, salt = 0): Uint8Array {
  const b = new Uint8Array(n);
  for (let i = 0; i < n; i++) b[i] = patternByte(from + i, salt);
  return b;
}

/** A program on a host: system calls, by callback or by running the net until they have come to something. */
export class Program {
  readonly host: Host;
  readonly net: Net;
  readonly id: ProcId;

  constructor(net: Net, host: Host) {
    this.net = net;
    this.host = host;
    this.id = host.sockets.openProcess();
  }

  call(req: SysRequest, done: (reply: SysReply) => void): void {
    const { socket } = this.host.shells;
    const run = (): void => {
      socket.run((now) => this.host.sockets.call(this.id, req, now, done));
    };
    if (socket.hangs) socket.whenAwake(this.net.now, 'program', run);
    else run();
  }

  /** A blocking call. */
  sys(req: SysRequest, withinMs: Millis = 300_000): SysReply {
    let reply: SysReply | undefined;
    this.call(req, (r) => (reply = r));
    this.net.runUntil(() => reply !== undefined, { withinMs });
    return reply!;
  }

  /** A blocking call that has to succeed; its result. */
  must(req: SysRequest): number {
    const r = this.sys(req);
    if (r.errno !== 0) throw new Error(`${this.host.name}: ${req.call}: ${errnoName(r.errno)}`);
    return r.result;
  }

  socket(type: number): number {
    return this.must({ call: 'socket', domain: AF_INET, type, protocol: 0 });
  }

  /** socket, bind, listen. */
  listen(port: number, backlog = 128): number {
    const fd = this.socket(SOCK_STREAM);
    this.must({ call: 'bind', fd, addr: sockAddr(0, port) });
    this.must({ call: 'listen', fd, backlog });
    return fd;
  }

  /** Accepts for ever. */
  serve(port: number, onConnection: (fd: number) => void): void {
    const fd = this.listen(port);
    const next = (): void =>
      this.call({ call: 'accept', fd, flags: 0 }, (r) => {
        if (r.errno !== 0) return;
        onConnection(r.result);
        next();
      });
    next();
  }

  connect(addr: string | number, port: number): SysReply & { fd: number } {
    const fd = this.socket(SOCK_STREAM);
    return { ...this.sys({ call: 'connect', fd, addr: sockAddr(addr, port) }), fd };
  }

  udp(port: number): number {
    const fd = this.socket(SOCK_DGRAM);
    this.must({ call: 'bind', fd, addr: sockAddr(0, port) });
    return fd;
  }

  /** Writes `total` bytes of the pattern, as fast as the socket takes them, then closes its side of the stream. */
  writeAll(
    fd: number,
    total: number,
    salt = 0,
    chunk = 16_384,
    onEnd?: () => void,
  ): { sent: number; errno: number; done: boolean } {
    const progress = { sent: 0, errno: 0, done: false };
    const next = loop(() => {
      if (progress.sent >= total) {
        this.call({ call: 'shutdown', fd, how: SHUT_WR }, () => {
          progress.done = true;
          onEnd?.();
        });
        return;
      }
      const data = [pattern(progress.sent, Math.min(chunk, total - progress.sent), salt)];
      this.call({ call: 'sendto', fd, data, flags: 0, to: undefined }, (r) => {
        progress.errno = r.errno;
        if (r.errno !== 0) {
          progress.done = true;
          onEnd?.();
          return;
        }
        progress.sent += r.result;
        next();
      });
    });
    next();
    return progress;
  }

  /**
   * Reads to the end of the stream, checking every byte. `pauseMs`: waits that long after each read of at most `chunk`
   * bytes.
   */
  readAll(
    fd: number,
    salt = 0,
    opts: { chunk?: number; pauseMs?: Millis; onEnd?: (p: ReadProgress) => void } = {},
  ): ReadProgress {
    const progress: ReadProgress = { got: 0, errno: 0, done: false, wrongAt: -1 };
    const next = loop(() =>
      this.call({ call: 'recvfrom', fd, len: opts.chunk ?? 65_536, flags: 0 }, (r) => {
        progress.errno = r.errno;
        progress.done = r.errno !== 0 || r.result === 0;
        if (progress.done) {
          opts.onEnd?.(progress);
          return;
        }
        for (const part of r.data ?? []) take(progress, part, salt);
        if (opts.pauseMs === undefined) next();
        else this.net.after(opts.pauseMs, next);
      }),
    );
    next();
    return progress;
  }

  close(fd: number): void {
    this.call({ call: 'close', fd }, () => {});
  }
}

/** A step that may ask for the next one before it is over: they run one after the other, not one in the other. */
function loop(step: () => void): () => void {
  let due = 0;
  return () => {
    if (due++ > 0) return;
    for (; due > 0; due--) step();
  };
}

export interface ReadProgress {
  got: number;
  errno: number;
  done: boolean;
  /** Offset of the first byte that was not the pattern's; -1: none. */
  wrongAt: number;
}

function take(progress: ReadProgress, part: Uint8Array, salt: number): void {
  for (let i = 0; i < part.length; i++) {
    if (progress.wrongAt < 0 && part[i] !== patternByte(progress.got + i, salt)) progress.wrongAt = progress.got + i;
  }
  progress.got += part.length;
}

/** The errno's name, for readable failures. */
export const outcome = (r: { errno: number }): string => (r.errno === 0 ? 'ok' : errnoName(r.errno));

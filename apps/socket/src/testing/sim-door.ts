import { EventEmitter } from 'node:events';
import type { Socket as UnixSocket } from 'node:net';
import type { DoorWorld, Link, LinkEvents } from '@skbus/net';
import type { Host, Net } from '@skbus/sim';
import { below, type Millis, SeededRng } from '@skbus/skb';
import type { CallHandle, FileNews, ProcId, SysReply, SysRequest } from '@skbus/socket';
import { DoorConnection } from '../door/door-connection.ts';
import type { Gateway } from '../door/gateway.ts';

/** How long bytes take through a Unix socket. */
const UNIX_MS: Millis = 0.03;

/** The gateway's end of a Unix socket: what DoorConnection uses of one. */
class SimUnix extends EventEmitter {
  destroyed = false;
  readonly writableLength = 0;
  private readonly send: (bytes: Buffer) => void;

  constructor(send: (bytes: Buffer) => void) {
    super();
    this.send = send;
  }

  write(bytes: Uint8Array): void {
    this.send(Buffer.from(bytes));
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroySoon(): void {}
  destroy(): void {
    this.destroyed = true;
  }
}

/** A simulated host's socket layer behind a real door, which dies with it. */
export class SimGateway implements Gateway {
  readonly leaving = false;
  private readonly net: Net;
  private readonly host: Host;
  private readonly rng: SeededRng;
  private links = new Set<{ cut(): void }>();
  private readonly ends: (() => void)[] = [];
  private dirty: DoorConnection[] = [];
  deaths = 0;

  constructor(net: Net, host: Host, seed: number) {
    this.net = net;
    this.host = host;
    this.rng = new SeededRng(seed);
    host.shells.socket.onBatchEnd(() => {
      const { dirty } = this;
      this.dirty = [];
      for (const c of dirty) c.flush();
    });
  }

  /** kill -9 of the socket layer, which is back `downMs` later. Of what it had written some arrives, some does not. */
  die(downMs: Millis): void {
    if (!this.host.shells.socket.alive) return;
    this.deaths++;
    this.dirty = [];
    const { links } = this;
    this.links = new Set();
    this.host.restart('socket', downMs);
    for (const l of links) l.cut();
  }

  /** What a door of a program on this host sees. */
  world(): DoorWorld {
    const { net } = this;
    return {
      dial: (on) => this.dial(on),
      nowMs: () => net.now,
      soon: (fn) => net.after(0, fn),
      idle: (fn) => net.after(0.01, fn),
      after: (ms, fn) => {
        let over = false;
        net.clock.schedule(net.now + ms, 'program', () => over || fn());
        return { stop: () => void (over = true), ref: () => {}, unref: () => {} };
      },
      token: () => Uint8Array.from({ length: 16 }, () => below(this.rng, 256)),
    };
  }

  private dial(on: LinkEvents): Link {
    const { net } = this;
    let up = this.host.shells.socket.alive;
    let ended = false;
    const end = (code?: string): void => {
      if (ended) return;
      ended = true;
      up = false;
      on.end('gone', code);
    };
    if (!up) {
      net.after(UNIX_MS, () => end('ECONNREFUSED'));
      return { write: () => {}, ref: () => {}, unref: () => {}, destroy: () => {} };
    }
    // Bytes on their way to the program when the gateway dies: the first `arriving` messages get there.
    let arriving = Number.POSITIVE_INFINITY;
    const server = new SimUnix((bytes) =>
      net.after(UNIX_MS, () => {
        if (!ended && arriving-- > 0) on.data(bytes);
      }),
    );
    const connection = new DoorConnection(
      server as unknown as UnixSocket,
      this,
      (c) => this.dirty.push(c),
      () => {},
    );
    void connection;
    this.links.add({
      cut: () => {
        up = false;
        arriving = below(this.rng, 3);
        net.after(UNIX_MS * 2, () => end());
      },
    });
    net.after(UNIX_MS, () => !ended && on.open());
    return {
      write: (bytes) => {
        const copy = Buffer.from(bytes);
        net.after(UNIX_MS, () => up && server.emit('data', copy));
      },
      ref: () => {},
      unref: () => {},
      destroy: () => {
        if (!up) return;
        up = false;
        net.after(UNIX_MS, () => server.emit('close'));
      },
    };
  }

  // --- Gateway -------------------------------------------------------------------------------------------------------

  run<T>(step: (now: Millis) => T): T {
    return this.host.shells.socket.run(step);
  }

  onBatchEnd(fn: () => void): void {
    this.ends.push(fn);
  }

  after(ms: Millis, fn: () => void): void {
    this.net.after(ms, fn);
  }

  openProcess(): ProcId {
    return this.host.sockets.openProcess();
  }

  closeProcess(p: ProcId, now: Millis): void {
    this.host.sockets.closeProcess(p, now);
  }

  openSession(p: ProcId, owner: number, tell: (news: readonly FileNews[]) => void): void {
    this.host.sockets.openSession(p, owner, tell);
  }

  call(p: ProcId, req: SysRequest, now: Millis, done: (reply: SysReply) => void): CallHandle {
    return this.host.sockets.call(p, req, now, done);
  }

  cancel(handle: CallHandle): void {
    this.host.sockets.cancel(handle);
  }
}

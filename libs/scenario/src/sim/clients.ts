import {
  AF_INET,
  ERRNO,
  errnoName,
  SO_RCVTIMEO,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  parseIpv4,
  type Millis,
} from '@skbus/skb';
import { sockAddr, type Host, type Net } from '@skbus/sim';
import type { Workload } from '../plan.ts';
import { sendAll, sendPattern, take, type Arrival } from './servers.ts';
import { CallFailed, must, type Task, type Tasks } from './task.ts';

const PING_TIMEOUT_MS: Millis = 10_000;
const ECHO_BYTES = 64;
const CHUNK = 65_536;

/** What happens to a program is told here. */
export interface Witness {
  bytes(n: number): void;
  reply(rttMs: Millis): void;
  error(name: string): void;
}

/** One workload from its beginning to its end. */
export class Client {
  private readonly net: Net;
  private readonly on: Tasks;
  private readonly host: Host;
  private readonly w: Workload;
  private readonly index: number;
  private readonly to: number;
  private readonly witness: Witness;
  /** Of a download. */
  readonly arrival: Arrival = { got: 0, right: true };

  constructor(o: { net: Net; on: Tasks; host: Host; other: Host; w: Workload; index: number; witness: Witness }) {
    ({ net: this.net, on: this.on, host: this.host, w: this.w, index: this.index, witness: this.witness } = o);
    this.to = o.w.to === undefined ? o.other.addr : parseIpv4(o.w.to)!;
  }

  start(onEnd: () => void): void {
    if (this.w.kind === 'ping') this.pings(onEnd);
    else this.on.start(this.guarded(this.main()), onEnd);
  }

  private main(): Task {
    switch (this.w.kind) {
      case 'download':
        return this.download();
      case 'upload':
        return this.upload();
      case 'echo':
        return this.w.proto === 'udp' ? this.echoUdp() : this.echo();
      default:
        return this.connects();
    }
  }

  private *guarded(task: Task): Task {
    try {
      yield* task;
    } catch (e) {
      if (!(e instanceof CallFailed)) throw e;
      this.witness.error(e.errno);
    }
  }

  private *connected(): Task<number> {
    const { result: fd } = yield* must({ call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 });
    const { errno } = yield { call: 'connect', fd, addr: sockAddr(this.to, this.w.port) };
    if (errno === 0) return fd;
    yield { call: 'close', fd };
    throw new CallFailed(errno);
  }

  private *download(): Task {
    const fd = yield* this.connected();
    yield* sendAll(fd, Uint8Array.of(this.index));
    for (;;) {
      const r = yield* must({ call: 'recvfrom', fd, len: CHUNK, flags: 0 });
      if (r.result === 0) break;
      this.witness.bytes(take(this.arrival, r.data ?? []));
    }
    yield { call: 'close', fd };
  }

  private *upload(): Task {
    const fd = yield* this.connected();
    yield* sendAll(fd, Uint8Array.of(this.index));
    yield* sendPattern(fd, this.w.bytes);
    yield* must({ call: 'recvfrom', fd, len: 1, flags: 0 });
    yield { call: 'close', fd };
  }

  private *echo(): Task {
    const fd = yield* this.connected();
    for (let i = 0; i < this.w.count; i++) {
      if (i > 0 && this.w.everyMs > 0) yield { sleepMs: this.w.everyMs };
      const at = this.net.now;
      yield* sendAll(fd, new Uint8Array(ECHO_BYTES).fill(i));
      for (let got = 0; got < ECHO_BYTES;) {
        const { result } = yield* must({ call: 'recvfrom', fd, len: ECHO_BYTES - got, flags: 0 });
        if (result === 0) throw new CallFailed(ERRNO.ECONNRESET);
        got += result;
      }
      this.witness.reply(this.net.now - at);
    }
    yield { call: 'close', fd };
  }

  /** Each waits a second for its answer; one that comes later is an answer to nobody. */
  private *echoUdp(): Task {
    const { result: fd } = yield* must({ call: 'socket', domain: AF_INET, type: SOCK_DGRAM, protocol: 0 });
    yield* must({ call: 'connect', fd, addr: sockAddr(this.to, this.w.port) });
    const value = { sec: 1, usec: 0 };
    yield* must({ call: 'setsockopt', fd, level: SOL_SOCKET, name: SO_RCVTIMEO, value });
    for (let i = 0; i < this.w.count; i++) {
      if (i > 0) yield { sleepMs: this.w.everyMs };
      const at = this.net.now;
      const sent = yield { call: 'sendto', fd, data: [Uint8Array.of(i >> 8, i)], flags: 0, to: undefined };
      if (sent.errno !== 0) {
        this.witness.error(errnoName(sent.errno));
        continue;
      }
      const { errno } = yield* this.answerTo(fd, i);
      if (errno === 0) this.witness.reply(this.net.now - at);
      else if (errno !== ERRNO.EAGAIN) this.witness.error(errnoName(errno));
    }
    yield { call: 'close', fd };
  }

  private *answerTo(fd: number, i: number): Task<{ errno: number }> {
    for (;;) {
      const r = yield { call: 'recvfrom', fd, len: 16, flags: 0 };
      const b = r.data?.[0];
      if (r.errno !== 0 || (b?.[0] === i >> 8 && b[1] === (i & 0xff))) return r;
    }
  }

  private *connects(): Task {
    for (let i = 0; i < this.w.count; i++) {
      if (i > 0 && this.w.everyMs > 0) yield { sleepMs: this.w.everyMs };
      yield* this.guarded(this.connectOnce());
    }
  }

  private *connectOnce(): Task {
    const at = this.net.now;
    const fd = yield* this.connected();
    this.witness.reply(this.net.now - at);
    yield { call: 'close', fd };
  }

  /** As ping does: the next one is sent when its time has come, whatever became of those before. */
  private pings(onEnd: () => void): void {
    let open = this.w.count;
    for (let i = 0; i < this.w.count; i++) {
      this.net.after(i * this.w.everyMs, () => {
        this.ping(i + 1, () => {
          if (--open === 0) onEnd();
        });
      });
    }
  }

  private ping(seq: number, onEnd: () => void): void {
    const { ip } = this.host.shells;
    let over = false;
    const end = (): void => {
      if (!over) onEnd();
      over = true;
    };
    // what a dead layer was asked is answered by nobody
    this.net.after(PING_TIMEOUT_MS + 1, end);
    if (!ip.alive) return;
    ip.run((now) => {
      const req = { id: 1 + this.index, seq, daddr: this.to, size: 56, ttl: 0 };
      this.host.ip.ping(
        req,
        now,
        (r) => {
          if (over) return;
          if (r.errno === 0) this.witness.reply(r.rttMs);
          else if (r.errno !== ERRNO.ETIMEDOUT) this.witness.error(errnoName(r.errno));
          end();
        },
        PING_TIMEOUT_MS,
      );
    });
  }
}

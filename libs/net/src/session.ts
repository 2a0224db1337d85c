import {
  AF_INET,
  ERRNO,
  FIONBIO,
  F_SETFL,
  MSG_DONTWAIT,
  MSG_PEEK,
  O_NONBLOCK,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_SNDTIMEO,
} from '@skbus/skb';
import { pb, type skbus } from '@skbus/contracts';
import type { DoorCall, DoorReply } from './door.ts';
import { EpollWatches } from './epoll-watches.ts';
import { Slabs } from './kept-bytes.ts';
import type { PendingCall } from './pending-call.ts';
import { SessionFile } from './session-file.ts';

type News = skbus.v1.DoorFileNews.$Properties;

const { Phase } = pb.DoorFile;
const SOCK_TYPE_MASK = 0xf;
const SO_SNDTIMEO_KEY = `${SOL_SOCKET}.${SO_SNDTIMEO}`;

/** The fd a call is about; undefined: none. */
function fdOf(c: DoorCall): number | undefined {
  const m =
    c.recvfrom ??
    c.sendto ??
    c.accept ??
    c.close ??
    c.connect ??
    c.shutdown ??
    c.bind ??
    c.listen ??
    c.setsockopt ??
    c.getsockopt ??
    c.ioctl ??
    c.fcntl ??
    c.getsockname ??
    c.getpeername;
  return m ? (m.fd ?? 0) : undefined;
}

/**
 * What this program has at the stack, learnt from its calls and their answers, so that it can be claimed from a socket service
 * that was started anew (docs/adr/0010-gateway-death.md).
 */
export class Session {
  private readonly files = new Map<number, SessionFile>();
  /** By number: closed, but the stack may not know, or not have all that was written. */
  private readonly closing = new Map<number, SessionFile>();
  private readonly bySk = new Map<number, SessionFile>();
  private readonly slabs = new Slabs();
  readonly epolls = new EpollWatches();

  /** How many sockets it would claim. */
  get size(): number {
    return this.files.size + this.closing.size;
  }

  /** A call is made. False: it has to wait for sends before it. */
  begin(p: PendingCall): boolean {
    const fd = fdOf(p.call);
    const file = fd === undefined ? undefined : this.files.get(fd);
    if (file === undefined) return true;
    p.file = file;
    if (p.call.sendto) return this.beginSend(p, file);
    if (p.call.connect) file.connecting = p.call.connect.addr ?? undefined;
    const { shutdown, close } = p.call;
    if ((shutdown || close?.drain) && file.held.length > 0) {
      file.held.push(p);
      return false;
    }
    if (close) this.beginClose(fd!, file);
    return true;
  }

  /** The answer to a call. Returns the calls that waited for it. */
  end(p: PendingCall, r: DoorReply): readonly PendingCall[] {
    const { call, file } = p;
    if (call.socket && r.errno === 0) {
      const type = call.socket.type ?? 0;
      this.add(r.result, r.sk, type & SOCK_TYPE_MASK, (type & SOCK_NONBLOCK) !== 0);
    }
    if (file === undefined) {
      this.epolls.end(call, r);
      return [];
    }
    if (call.recvfrom) {
      if (r.rcvTo > file.rcvTo && !((call.recvfrom.flags ?? 0) & MSG_PEEK)) file.rcvTo = r.rcvTo;
      return [];
    }
    if (call.sendto) return this.endSend(p, file, r.errno === 0 ? r.result : 0);
    if (call.connect) endConnect(file, call.connect.addr ?? undefined, r.errno);
    else if (r.errno === 0) this.endOther(file, call, r);
    return [];
  }

  /** News of the stack: what need not be kept any more. */
  news(list: readonly News[]): void {
    for (const n of list) {
      const file = this.bySk.get(n.sk ?? 0);
      if (file === undefined) continue;
      if (n.newSk) this.rename(file, n.newSk);
      else file.kept.dropTo(n.sndGot ?? 0);
      if (n.gone && this.closing.delete(file.sk)) this.forget(file);
    }
  }

  /** All sockets, for a new socket service. */
  claims(): { claim: skbus.v1.DoorFile.$Properties; file: SessionFile }[] {
    const all: { claim: skbus.v1.DoorFile.$Properties; file: SessionFile }[] = [];
    for (const file of this.closing.values()) all.push({ claim: file.claim(-1), file });
    for (const [fd, file] of this.files) all.push({ claim: file.claim(fd), file });
    return all;
  }

  /**
   * What the new service says of a claimed socket. Returns the bytes that TCP lacks, and how much of the calls on their way it
   * has got (`PendingCall.took`).
   */
  resumed(file: SessionFile, n: News): { offset: number; parts: Buffer[] } | undefined {
    const got = n.sndGot ?? 0;
    if (n.newSk) this.rename(file, n.newSk);
    if (n.gone) {
      file.kept.reset();
      if (this.closing.delete(file.sk)) this.forget(file);
      return undefined;
    }
    file.kept.dropTo(got);
    let extra = got - file.kept.end;
    for (const p of file.sends) {
      const { bytes, slab } = p.copy!;
      const take = Math.max(0, Math.min(extra, bytes.length));
      extra -= take;
      p.took += take;
      p.copy = { bytes: bytes.subarray(take), slab };
      p.data = [p.copy.bytes];
    }
    if (got > file.kept.end) file.kept.reset(got);
    const parts = file.kept.from(got)?.concat(file.lastWords);
    return parts === undefined || parts.length === 0 ? undefined : { offset: got, parts };
  }

  private beginSend(p: PendingCall, file: SessionFile): boolean {
    if (file.type !== SOCK_STREAM) return true;
    const parts = p.data ?? [];
    p.copy = this.slabs.copy(
      parts,
      parts.reduce((n, d) => n + d.length, 0),
    );
    p.data = [p.copy.bytes];
    p.unsure =
      p.holds ||
      file.nonblock ||
      ((p.call.sendto!.flags ?? 0) & MSG_DONTWAIT) !== 0 ||
      file.options.has(SO_SNDTIMEO_KEY);
    if (file.held.length > 0 || mustWait(file, p)) {
      file.held.push(p);
      return false;
    }
    file.sends.push(p);
    return true;
  }

  private endSend(p: PendingCall, file: SessionFile, n: number): readonly PendingCall[] {
    if (p.copy === undefined) return [];
    file.sends = file.sends.filter((s) => s !== p);
    if (file.closed && !this.closing.has(file.sk)) this.slabs.release(p.copy);
    else file.kept.push(p.copy, n);
    // MSG_FASTOPEN: the send was the connect, too
    if (n > 0 && file.phase === Phase.UNCONNECTED) file.phase = Phase.CONNECTING;
    const next: PendingCall[] = [];
    while (file.held.length > 0 && !mustWait(file, file.held[0]!)) {
      const h = file.held.shift()!;
      if (h.copy !== undefined) file.sends.push(h);
      if (h.call.close) this.beginClose(h.call.close.fd ?? 0, file);
      next.push(h);
    }
    return next;
  }

  private beginClose(fd: number, file: SessionFile): void {
    this.files.delete(fd);
    this.epolls.forget(fd);
    file.closed = true;
    this.closing.set(file.sk, file);
  }

  private endOther(file: SessionFile, call: DoorCall, r: DoorReply): void {
    if (call.accept) this.addChild(file, r, call.accept.flags ?? 0);
    else if (call.bind) file.bound = call.bind.addr ?? undefined;
    else if (call.listen) {
      file.phase = Phase.LISTENING;
      file.backlog = call.listen.backlog ?? 0;
    } else if (call.shutdown) file.shut |= (call.shutdown.how ?? 0) + 1;
    else if (call.setsockopt) file.setOption(call.setsockopt);
    else if (call.fcntl?.cmd === F_SETFL) file.nonblock = ((call.fcntl.arg ?? 0) & O_NONBLOCK) !== 0;
    else if (call.ioctl?.request === FIONBIO) file.nonblock = (call.ioctl.arg ?? 0) !== 0;
  }

  private addChild(listener: SessionFile, r: DoorReply, flags: number): void {
    const child = this.add(r.result, r.sk, SOCK_STREAM, (flags & SOCK_NONBLOCK) !== 0);
    for (const o of listener.options.values()) child.setOption(o);
    child.phase = Phase.CONNECTED;
    child.rcvTo = r.rcvTo;
    if (r.addr) child.peer = { family: AF_INET, addr: r.addr.addr ?? 0, port: r.addr.port ?? 0 };
  }

  private add(fd: number, sk: number, type: number, nonblock: boolean): SessionFile {
    const file = new SessionFile(sk, type, nonblock, this.slabs);
    this.files.set(fd, file);
    this.bySk.set(sk, file);
    return file;
  }

  private rename(file: SessionFile, sk: number): void {
    this.bySk.delete(file.sk);
    if (this.closing.delete(file.sk)) this.closing.set(sk, file);
    file.restart(sk);
    this.bySk.set(sk, file);
  }

  private forget(file: SessionFile): void {
    file.kept.reset();
    this.bySk.delete(file.sk);
  }
}

/** Were one send cut short and the next not, nobody could tell afterwards whose bytes TCP has. */
const mustWait = (file: SessionFile, p: PendingCall): boolean =>
  p.copy !== undefined && file.sends.length > 0 && (p.unsure || file.sends.at(-1)!.unsure);

function endConnect(file: SessionFile, addr: SessionFile['peer'], errno: number): void {
  file.connecting = undefined;
  if (errno === 0) {
    const dissolved = addr?.family !== AF_INET;
    file.phase = dissolved ? Phase.UNCONNECTED : Phase.CONNECTED;
    file.peer = dissolved ? undefined : addr;
  } else if (errno === ERRNO.EINPROGRESS) {
    file.phase = Phase.CONNECTING;
    file.peer = addr;
  } else if (errno !== ERRNO.EALREADY && errno !== ERRNO.EISCONN && file.phase === Phase.CONNECTING) {
    file.phase = Phase.UNCONNECTED;
    file.peer = undefined;
  }
}

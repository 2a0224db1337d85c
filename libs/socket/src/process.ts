import { Epoll } from './epoll.ts';
import type { Session } from './session.ts';
import type { Sock } from './sock.ts';
import type { ProcId } from './types.ts';
import type { Wait } from './wait.ts';

/** 0, 1 and 2 are taken, as in every program. */
const FIRST_FD = 3;

/** A program's files: its fd table (the lowest free number is given out), and its sleeping calls. */
export class Process {
  readonly id: ProcId;
  readonly waits = new Set<Wait>();
  /** It outlives this service; undefined: its sockets end with the door. */
  session: Session | undefined = undefined;
  private readonly fds: (Sock | Epoll | undefined)[] = [];
  private lowest = 0;
  private open = 0;
  private readonly max: number;

  constructor(id: ProcId, max: number) {
    this.id = id;
    this.max = max;
  }

  get full(): boolean {
    return this.open >= this.max;
  }

  /** The socket; undefined: no socket is there. */
  get(fd: number): Sock | undefined {
    const file = this.fds[fd - FIRST_FD];
    return file instanceof Epoll ? undefined : file;
  }

  epoll(fd: number): Epoll | undefined {
    const file = this.fds[fd - FIRST_FD];
    return file instanceof Epoll ? file : undefined;
  }

  /** The new fd, or -1: EMFILE. */
  install(sock: Sock): number {
    const fd = this.add(sock);
    if (fd < 0) return fd;
    this.own(sock, fd);
    return fd;
  }

  /** Under the number it had with a service before this one; false: that is not free. */
  installAt(fd: number, sock: Sock): boolean {
    if (!this.addAt(fd, sock)) return false;
    this.own(sock, fd);
    return true;
  }

  private own(sock: Sock, fd: number): void {
    sock.proc = this.id;
    sock.fd = fd;
    sock.session = this.session;
  }

  /** The same for what is no socket. */
  add(file: Sock | Epoll): number {
    if (this.full) return -1;
    let i = this.lowest;
    while (this.fds[i] !== undefined) i++;
    this.fds[i] = file;
    this.lowest = i + 1;
    this.open++;
    return i + FIRST_FD;
  }

  addAt(fd: number, file: Sock | Epoll): boolean {
    const i = fd - FIRST_FD;
    if (i < 0 || i >= this.max || this.fds[i] !== undefined) return false;
    while (this.fds.length < i) this.fds.push(undefined);
    this.fds[i] = file;
    this.open++;
    return true;
  }

  remove(sock: Sock): void {
    if (this.fds[sock.fd - FIRST_FD] !== sock) return;
    this.drop(sock.fd);
    sock.fd = -1;
    sock.proc = 0;
  }

  /** The number is free again. */
  drop(fd: number): void {
    const i = fd - FIRST_FD;
    this.fds[i] = undefined;
    this.open--;
    if (i < this.lowest) this.lowest = i;
  }

  sockets(): Sock[] {
    return this.fds.filter((s): s is Sock => s !== undefined && !(s instanceof Epoll));
  }
}

import type { Sock } from './sock.ts';
import type { ProcId } from './types.ts';
import type { Wait } from './wait.ts';

/** 0, 1 and 2 are taken, as in every program. */
const FIRST_FD = 3;

/** A program's files: its fd table (the lowest free number is given out), and its sleeping calls. */
export class Process {
  readonly id: ProcId;
  readonly waits = new Set<Wait>();
  private readonly fds: (Sock | undefined)[] = [];
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

  get(fd: number): Sock | undefined {
    return this.fds[fd - FIRST_FD];
  }

  /** The new fd, or -1: EMFILE. */
  install(sock: Sock): number {
    if (this.full) return -1;
    let i = this.lowest;
    while (this.fds[i] !== undefined) i++;
    this.fds[i] = sock;
    this.lowest = i + 1;
    this.open++;
    sock.proc = this.id;
    sock.fd = i + FIRST_FD;
    return sock.fd;
  }

  remove(sock: Sock): void {
    const i = sock.fd - FIRST_FD;
    if (this.fds[i] !== sock) return;
    this.fds[i] = undefined;
    this.open--;
    if (i < this.lowest) this.lowest = i;
    sock.fd = -1;
    sock.proc = 0;
  }

  sockets(): Sock[] {
    return this.fds.filter((s) => s !== undefined);
  }
}

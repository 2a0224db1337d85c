/** What a script's file descriptor stands for. */
export type Fd =
  | { kind: 'socket'; live: number }
  | { kind: 'epoll'; live: number }
  /** open(): a file that is only read from, by sendfile(); it holds zeros. */
  | { kind: 'file' };

/** The script's file descriptors and the target's. */
export class Fds {
  private readonly byScript = new Map<number, Fd>();

  set(script: number, fd: Fd): void {
    this.byScript.set(script, fd);
  }

  get(script: number): Fd | undefined {
    return this.byScript.get(script);
  }

  delete(script: number): void {
    this.byScript.delete(script);
  }

  /** The target's number; one that nobody opened is passed on, so that EBADF can be tested. */
  live(script: number): number {
    const fd = this.byScript.get(script);
    return fd === undefined || fd.kind === 'file' ? UNUSED_FD + script : fd.live;
  }

  script(live: number): number {
    for (const [script, fd] of this.byScript) if (fd.kind !== 'file' && fd.live === live) return script;
    return live;
  }
}

/** Far from any descriptor that a target gives out. */
const UNUSED_FD = 1_000_000;

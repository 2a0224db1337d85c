import { errnoName, type Millis } from '@skbus/skb';
import { Program, type Host, type Net } from '@skbus/sim';
import type { SysReply, SysRequest } from '@skbus/socket';

/** A program written down as one thing after the other; each `yield` waits for a system call or for a time. */
export type Task<T = void> = Generator<SysRequest | { sleepMs: Millis }, T, SysReply>;

const SLEPT: SysReply = { errno: 0, result: 0 };

/** A process on a simulated host. */
export class Tasks {
  readonly program: Program;
  private readonly net: Net;

  constructor(net: Net, host: Host) {
    this.net = net;
    this.program = new Program(net, host);
  }

  start(task: Task, onEnd: () => void = () => {}): void {
    let answers = 0;
    let answer = SLEPT;
    // A call that is answered at once must not nest one step in the other.
    const go = (reply: SysReply): void => {
      answer = reply;
      if (answers++ > 0) return;
      for (; answers > 0; answers--) {
        const { done, value } = task.next(answer);
        if (done === true) return onEnd();
        if ('sleepMs' in value) this.net.after(value.sleepMs, () => go(SLEPT));
        else this.program.call(value, go);
      }
    };
    go(SLEPT);
  }
}

/** A call failed, with the errno's name. */
export class CallFailed extends Error {
  readonly errno: string;

  constructor(errno: number) {
    super(errnoName(errno));
    this.errno = this.message;
  }
}

/** The result of a call that has to succeed. */
export function* must(req: SysRequest): Task<SysReply> {
  const r = yield req;
  if (r.errno !== 0) throw new CallFailed(r.errno);
  return r;
}

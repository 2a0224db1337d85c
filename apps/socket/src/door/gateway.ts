import type { Millis } from '@skbus/skb';
import type { CallHandle, FileNews, ProcId, SysReply, SysRequest } from '@skbus/socket';

/** What doors need of the engine and its shell; `run` is one batch, as LayerKit.run. */
export interface Gateway {
  run<T>(step: (now: Millis) => T): T;
  /** Called when a batch is over and its commands are on their way. */
  onBatchEnd(fn: () => void): void;
  after(ms: Millis, fn: () => void): void;
  openProcess(): ProcId;
  closeProcess(p: ProcId, now: Millis): void;
  /** See SocketLayer.openSession. */
  openSession(p: ProcId, owner: number, tell: (news: readonly FileNews[]) => void): void;
  /** The service ends, and the programs' sessions are for the next one: their sockets stay as they are. */
  readonly leaving: boolean;
  call(p: ProcId, req: SysRequest, now: Millis, done: (reply: SysReply) => void): CallHandle;
  cancel(handle: CallHandle): void;
}

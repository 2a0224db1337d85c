import type { DoorCall, OnReply } from './door.ts';
import type { Copy } from './kept-bytes.ts';
import type { SessionFile } from './session-file.ts';

/** A call that has no answer yet. */
export interface PendingCall {
  readonly id: number;
  readonly call: DoorCall;
  readonly reply: OnReply;
  /** The process stays alive for it. */
  readonly holds: boolean;
  readonly atMs: number;
  data: readonly Uint8Array[] | undefined;
  /** The socket that it is about, which may have lost its number since. */
  file: SessionFile | undefined;
  /** A stream's bytes: a copy that stays until TCP has them. */
  copy: Copy | undefined;
  /** So many of them TCP had before the socket service died. */
  took: number;
  /** It may be cut short, so that nothing may follow on its heels. */
  unsure: boolean;
  /** It waits for sends before it. */
  held: boolean;
  cancelled: boolean;
}

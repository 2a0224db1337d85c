import type { skbus } from '@skbus/contracts';

/** A call as in door.proto: one of the fields of DoorRequest but `id`. */
export type DoorCall = Omit<skbus.v1.DoorRequest.$Properties, 'id'>;
export type DoorReply = skbus.v1.DoorReply;
export type OnReply = (reply: DoorReply, data: Uint8Array[]) => void;

/** Where the door of the default stack is: SKBUS_SOCK, or the run folder of stack `a` of the project one works in. */
export function defaultDoorPath(env: Record<string, string | undefined> = process.env): string {
  return env['SKBUS_SOCK'] || `${env['SKBUS_RUN_DIR'] || '.run/a'}/skbus.sock`;
}

/** The way to a stack: what sockets, servers and `Sys` are made on. */
export interface Door {
  readonly closed: boolean;
  /** `holds`: the process stays alive until the answer is there. Returns an id for `cancel`. `reply` is never called at once. */
  request(call: DoorCall, data: readonly Uint8Array[] | undefined, reply: OnReply, holds?: boolean): number;
  /** The call answers with what it has done so far, or EINTR. */
  cancel(id: number): void;
  /** Runs once when the door has closed, whoever closed it; the result takes it back. */
  onClose(fn: (why: string) => void): () => void;
  /** Keeps the process alive, as an open handle does. */
  hold(): void;
  release(): void;
}

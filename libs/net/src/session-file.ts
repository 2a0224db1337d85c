import { pb, type skbus } from '@skbus/contracts';
import { KeptBytes, type Slabs } from './kept-bytes.ts';
import type { PendingCall } from './pending-call.ts';

const { Phase } = pb.DoorFile;

type Addr = skbus.v1.DoorAddr.$Properties;
type Option = skbus.v1.DoorSetsockopt.$Properties;

/** A socket as the program knows it: all that a new socket service has to be told (DoorFile in door.proto). */
export class SessionFile {
  sk: number;
  readonly type: number;
  phase: skbus.v1.DoorFile.Phase = Phase.UNCONNECTED;
  nonblock: boolean;
  bound: Addr | undefined = undefined;
  peer: Addr | undefined = undefined;
  backlog = 0;
  shut = 0;
  /** Received by the program. */
  rcvTo = 0;
  /** Written, answered for, and perhaps not with TCP yet. */
  readonly kept: KeptBytes;
  readonly options = new Map<string, Option>();
  /** Its sends that are on their way, in order, and those that wait for them. */
  sends: PendingCall[] = [];
  held: PendingCall[] = [];
  /** A connect() that has no answer yet. */
  connecting: Addr | undefined = undefined;
  closed = false;

  constructor(sk: number, type: number, nonblock: boolean, slabs: Slabs) {
    this.sk = sk;
    this.type = type;
    this.nonblock = nonblock;
    this.kept = new KeptBytes(slabs);
  }

  setOption(o: Option): void {
    this.options.set(`${o.level ?? 0}.${o.name ?? 0}`, o);
  }

  /** The socket starts anew: nothing was written or read. */
  restart(sk: number): void {
    this.sk = sk;
    this.kept.reset();
    this.rcvTo = 0;
    this.shut = 0;
  }

  /** Once it is closed nobody asks again for the sends on their way: what they have to say is to be kept, too. */
  get lastWords(): Buffer[] {
    return this.closed ? this.sends.map((s) => s.copy!.bytes) : [];
  }

  claim(fd: number): skbus.v1.DoorFile.$Properties {
    const opening = this.connecting !== undefined && this.phase === Phase.UNCONNECTED;
    const peer = this.connecting ?? this.peer;
    return {
      fd,
      sk: this.sk,
      type: this.type,
      phase: opening ? Phase.CONNECTING : this.phase,
      nonblock: this.nonblock,
      ...(this.bound ? { bound: this.bound } : {}),
      ...(peer ? { peer } : {}),
      backlog: this.backlog,
      shut: this.shut,
      rcvTo: this.rcvTo,
      sndTo: this.lastWords.reduce((to, b) => to + b.length, this.kept.end),
      options: [...this.options.values()],
    };
  }
}

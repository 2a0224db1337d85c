import { connect } from 'node:net';
import { writeAll } from './frame.ts';
import { readInto } from './read-room.ts';

/** A connection to a socket service, as a door needs it. */
export interface Link {
  /** What is written in one turn of the event loop leaves together. */
  write(bytes: Uint8Array): void;
  ref(): void;
  unref(): void;
  destroy(): void;
}

export interface LinkEvents {
  open(): void;
  data(chunk: Buffer): void;
  /** Once, last. `code`: of the error, if there was one. */
  end(why: string, code: string | undefined): void;
}

/** What a door has of the world; tests bring another one. */
export interface DoorWorld {
  dial(on: LinkEvents): Link;
  nowMs(): number;
  /** After what runs now. */
  soon(fn: () => void): void;
  /** After what is ready to run, and what follows from it. */
  idle(fn: () => void): void;
  /** The result ends it, and says whether the process waits for it. */
  after(ms: number, fn: () => void): { stop(): void; ref(): void; unref(): void };
  token(): Uint8Array;
}

/** A Unix socket of this machine. */
export function unixWorld(path: string): DoorWorld {
  return {
    dial: (on) => dial(path, on),
    nowMs: () => performance.now(),
    soon: (fn) => process.nextTick(fn),
    idle: (fn) => void setImmediate(fn).unref(),
    after: (ms, fn) => {
      const t = setTimeout(fn, ms);
      return { stop: () => clearTimeout(t), ref: () => void t.ref(), unref: () => void t.unref() };
    },
    token: () => crypto.getRandomValues(new Uint8Array(16)),
  };
}

function dial(path: string, on: LinkEvents): Link {
  const unix = connect({ path, onread: readInto((chunk) => on.data(chunk)) });
  let waiting: Uint8Array[] = [];
  let why = 'the connection to the stack is closed';
  let code: string | undefined;
  unix.unref();
  unix.on('connect', () => on.open());
  unix.on('error', (e: NodeJS.ErrnoException) => {
    why = e.message;
    code = e.code;
  });
  unix.on('close', () => on.end(why, code));
  return {
    write: (bytes) => {
      // The end of this turn: what a write leads to in the program (its callback, and then the end) goes along.
      if (waiting.length === 0)
        setImmediate(() => {
          const list = waiting;
          waiting = [];
          writeAll(unix, list);
        });
      waiting.push(bytes);
    },
    ref: () => void unix.ref(),
    unref: () => void unix.unref(),
    destroy: () => void unix.destroy(),
  };
}

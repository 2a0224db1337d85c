import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { DoorConnection } from './door-connection.ts';
import type { Gateway } from './gateway.ts';

/** sizeof(sockaddr_un.sun_path) - 1. */
const PATH_MAX_BYTES = 107;
const PROGRAMS_MAX = 4096;

const SOON = Promise.resolve();

/** The Unix socket that programs come in by (docs/DOOR.md). */
export class DoorServer {
  private readonly server: Server;
  private readonly open = new Set<DoorConnection>();
  private dirty: DoorConnection[] = [];
  readonly path: string;

  constructor(gateway: Gateway, path: string, programsMax = PROGRAMS_MAX) {
    this.path = path;
    this.server = createServer({ pauseOnConnect: true }, (unix) => {
      const c = new DoorConnection(
        unix,
        gateway,
        (d) => this.dirty.push(d),
        (d) => this.open.delete(d),
      );
      this.open.add(c);
    });
    this.server.maxConnections = programsMax;
    // Behind what the batch has for the bus: a reply wakes a program that has time, a segment a peer that waits.
    gateway.onBatchEnd(() => {
      if (this.dirty.length > 0) void SOON.then(this.flush);
    });
  }

  get programs(): number {
    return this.open.size;
  }

  /** Rejects with one sentence: what is in the way. */
  async listen(): Promise<void> {
    if (Buffer.byteLength(this.path) > PATH_MAX_BYTES) {
      throw new Error(
        `the door's path ${this.path} is longer than ${PATH_MAX_BYTES} bytes; set SKBUS_SOCK to a shorter one`,
      );
    }
    mkdirSync(dirname(this.path), { recursive: true });
    if (await answers(this.path))
      throw new Error(`another socket service listens at ${this.path}; stop it, or set SKBUS_SOCK`);
    rmSync(this.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (e) => reject(new Error(`cannot open the door ${this.path}: ${e.message}`)));
      this.server.listen(this.path, resolve);
    });
    chmodSync(this.path, 0o600);
  }

  close(): void {
    this.server.close();
    for (const c of this.open) c.destroy();
    rmSync(this.path, { force: true });
  }

  private readonly flush = (): void => {
    const { dirty } = this;
    this.dirty = [];
    for (const c of dirty) c.flush();
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

import { connect } from 'node:net';
import { type Door, net } from '@skbus/net';
import type { Admission } from './admission.ts';
import { relay } from './relay.ts';

export interface ExposedPort {
  port: number;
  host: string;
  targetPort: number;
}

interface Exposure extends ExposedPort {
  server: InstanceType<typeof net.Server>;
  connections: number;
}

/** `skbus expose 80 127.0.0.1:8080`: ports of the stack that lead to real servers. */
export class Exposer {
  private readonly door: Door;
  private readonly admission: Admission;
  private readonly byPort = new Map<number, Exposure>();

  constructor(door: Door, admission: Admission) {
    this.door = door;
    this.admission = admission;
  }

  list(): (ExposedPort & { connections: number })[] {
    return [...this.byPort.values()].map(({ port, host, targetPort, connections }) => ({
      port,
      host,
      targetPort,
      connections,
    }));
  }

  /** Rejects with the error of listen(). A port that is exposed already gets the new target. */
  async add({ port, host, targetPort }: ExposedPort): Promise<void> {
    const old = this.byPort.get(port);
    if (old !== undefined) {
      old.host = host;
      old.targetPort = targetPort;
      return;
    }
    const server = net.createServer({ door: this.door, allowHalfOpen: true, pauseOnConnect: true });
    const e: Exposure = { port, host, targetPort, server, connections: 0 };
    server.on('connection', (inside) => {
      inside.on('error', () => {});
      const place = this.admission.enter();
      if (place === undefined) {
        inside.resetAndDestroy();
        return;
      }
      const outside = connect({ port: e.targetPort, host: e.host, allowHalfOpen: true, noDelay: true });
      inside.setNoDelay(true);
      e.connections++;
      inside.once('close', () => {
        e.connections--;
        place.left();
        outside.destroy();
      });
      const refused = (): void => void inside.resetAndDestroy();
      outside.once('error', refused);
      outside.once('connect', () => {
        outside.removeListener('error', refused);
        place.opened();
        relay(inside, outside);
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, backlog: 4096 }, () => {
        server.removeListener('error', reject);
        server.on('error', () => this.byPort.delete(port));
        resolve();
      });
    });
    this.byPort.set(port, e);
  }

  /** False: it was not exposed. Connections that are open stay. */
  remove(port: number): boolean {
    const e = this.byPort.get(port);
    if (e === undefined) return false;
    this.byPort.delete(port);
    e.server.close();
    return true;
  }

  close(): void {
    for (const port of [...this.byPort.keys()]) this.remove(port);
  }
}

import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { KvStore } from '@skbus/bus';
import { buckets } from '@skbus/contracts';
import { LAYER_KIT, monotonicMs, type InitcallResult, type LayerKit } from '@skbus/nest-kit';
import { ERRNO } from '@skbus/skb';
import { readDoorConfig, type DoorConfig } from './config.ts';
import { DoorServer } from './door/door-server.ts';
import { LocalDoor } from './door/local-door.ts';
import { Admission } from './doors/admission.ts';
import { Exposer, type ExposedPort } from './doors/expose.ts';
import { HttpConnectDoor } from './doors/http-connect.ts';
import { SocksDoor } from './doors/socks.ts';
import { SocketService } from './socket.service.ts';

export type Exposed = ReturnType<Exposer['list']>[number];

/** The ways in for programs: the Unix socket, SOCKS5, HTTP CONNECT, and exposed ports. */
@Injectable()
export class DoorsService implements OnModuleInit, OnModuleDestroy {
  private readonly config: DoorConfig;
  private readonly local: LocalDoor;
  private readonly unix: DoorServer;
  private readonly exposer: Exposer;
  private readonly admissions: Record<'socks' | 'http_connect' | 'expose', Admission>;
  private readonly proxies: { close(): void }[] = [];
  private opened: Promise<void> | undefined = undefined;

  constructor(
    @Inject(LAYER_KIT) private readonly kit: LayerKit,
    private readonly sockets: SocketService,
  ) {
    this.config = readDoorConfig(kit.config.env, kit.config.runDir);
    this.local = new LocalDoor(sockets);
    this.unix = new DoorServer(sockets, this.config.sockPath);
    const admit = (door: string): Admission =>
      new Admission({
        door,
        limits: this.config.limits,
        say: (line) => kit.printk([line]),
        now: monotonicMs,
      });
    this.admissions = { socks: admit('SOCKS5'), http_connect: admit('HTTP CONNECT'), expose: admit('expose') };
    this.exposer = new Exposer(this.local, this.admissions.expose);
  }

  onModuleInit(): void {
    this.kit.addStats(() => ({ programs: this.unix.programs, ...this.gauges() }));
    this.sockets.doors = { open: () => this.open(), restore: (keep) => this.restore(keep) };
  }

  onModuleDestroy(): void {
    this.sockets.leaving = true;
    this.exposer.close();
    for (const p of this.proxies) p.close();
    this.local.close();
    this.unix.close();
  }

  list(): Exposed[] {
    return this.exposer.list();
  }

  async expose(p: ExposedPort): Promise<void> {
    await this.exposer.add(p);
    await (await this.kv()).put(String(p.port), new TextEncoder().encode(`${p.host}:${p.targetPort}`));
  }

  async unexpose(port: number): Promise<boolean> {
    await (await this.kv()).delete(String(port));
    return this.exposer.remove(port);
  }

  private async open(): Promise<InitcallResult> {
    try {
      this.opened ??= this.openAll();
      await this.opened;
    } catch (e) {
      this.opened = undefined;
      return { errno: ERRNO.EADDRINUSE, message: (e as Error).message };
    }
  }

  /** Exposed ports live as long as the stack: a restarted service has them again, a new boot starts without. */
  private async restore(keep: boolean): Promise<void> {
    const kv = await this.kv();
    for (const [key, value] of await kv.entries()) {
      const target = /^(.+):(\d+)$/.exec(new TextDecoder().decode(value));
      if (!keep || target === null) {
        await kv.delete(key);
        continue;
      }
      // Not awaited: it needs TCP, which may come back later than this.
      this.exposer.add({ port: Number(key), host: target[1]!, targetPort: Number(target[2]) }).catch((e: Error) => {
        this.kit.printk([`skbus: port ${key} cannot be exposed again: ${e.message}`]);
      });
    }
  }

  private async openAll(): Promise<void> {
    const { socksPort, httpProxyPort, proxyHost } = this.config;
    await this.unix.listen();
    if (socksPort > 0) {
      const socks = new SocksDoor(this.local, this.admissions.socks);
      await socks.listen(socksPort, proxyHost);
      this.proxies.push(socks);
    }
    if (httpProxyPort > 0) {
      const http = new HttpConnectDoor(this.local, this.admissions.http_connect);
      await http.listen(httpProxyPort, proxyHost);
      this.proxies.push(http);
    }
  }

  private gauges(): Record<string, number> {
    const g: Record<string, number> = {};
    for (const [name, a] of Object.entries(this.admissions)) {
      g[`${name}_connections`] = a.open;
      g[`${name}_half_open`] = a.halfOpen;
      g[`${name}_refused`] = a.refused;
    }
    return g;
  }

  private kv(): Promise<KvStore> {
    return this.kit.bus.kv(buckets.expose(this.kit.netns));
  }
}

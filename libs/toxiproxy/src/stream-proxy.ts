import { Connection, type Stream } from './connection.ts';
import { ApiError } from './errors.ts';
import type { Listening, Place, Proxy, ProxyChange, ProxyView, World } from './proxy.ts';
import { worksOnStreams } from './stages.ts';
import type { Toxic, ToxicType } from './toxics.ts';

/**
 * A listener whose connections lead to an upstream. One that listens on this machine dials through the stack, one that
 * listens on an address of the stack dials on this machine.
 */
export class StreamProxy implements Proxy {
  readonly name: string;
  readonly fixed = false;
  readonly toxics = new Map<string, Toxic>();
  private readonly world: World;
  private listenAt: string;
  private upstream: string;
  private listening: Listening | undefined = undefined;
  private readonly connections = new Set<Connection>();
  private readonly streams = new Set<Stream>();

  constructor(world: World, name: string, listen: string, upstream: string) {
    this.world = world;
    this.name = name;
    this.listenAt = listen;
    this.upstream = upstream;
  }

  view(): ProxyView {
    const { name, upstream, listening } = this;
    const listen = listening === undefined ? this.listenAt : show(listening);
    return { name, listen, upstream, enabled: listening !== undefined, toxics: [...this.toxics.values()] };
  }

  async change({ listen = this.listenAt, upstream = this.upstream, enabled }: ProxyChange): Promise<void> {
    const wanted = enabled ?? this.listening !== undefined;
    // the port that was given for 0 is the one it has
    const moved = listen !== this.listenAt && (this.listening === undefined || listen !== show(this.listening));
    const led = upstream !== this.upstream;
    // before anything changes: a proxy with a wrong address could not even be reset
    place(upstream, 'upstream', () => false);
    place(listen, 'listen', () => false);
    if (this.listening !== undefined && (moved || led || !wanted)) await this.stop();
    if (moved) this.listenAt = listen;
    this.upstream = upstream;
    if (wanted && this.listening === undefined) await this.start();
  }

  refuse(type: ToxicType): void {
    if (!worksOnStreams(type))
      throw new ApiError(
        400,
        `${type} needs packets, and a proxy has a stream: add it to a seam (seam-ip, seam-nic, …)`,
      );
  }

  async setToxic(t: Toxic): Promise<void> {
    const old = this.toxics.get(t.name);
    this.toxics.set(t.name, t);
    for (const c of this.connections) {
      if (old === undefined) c.add(t);
      else c.update(t);
    }
  }

  async removeToxic(name: string): Promise<void> {
    const t = this.toxics.get(name);
    if (t === undefined) return;
    this.toxics.delete(name);
    for (const c of this.connections) c.remove(t);
  }

  async stop(): Promise<void> {
    const { listening } = this;
    if (listening === undefined) return;
    // A port of its own choosing is kept for when it starts again.
    this.listenAt = show(listening);
    this.listening = undefined;
    for (const s of this.streams) s.destroy();
    await listening.close();
  }

  private async start(): Promise<void> {
    const at = place(this.listenAt, 'listen', (host) => this.world.isStack(host));
    try {
      this.listening = await this.world.listen(at, (client) => this.connect(client, !at.stack));
    } catch (e) {
      throw new ApiError(500, `listen tcp ${this.listenAt}: ${(e as Error).message}`);
    }
  }

  private connect(client: Stream, throughStack: boolean): void {
    const server = this.world.dial(place(this.upstream, 'upstream', () => throughStack));
    let connection: Connection | undefined;
    for (const s of [client, server]) {
      this.streams.add(s);
      s.once('close', () => {
        this.streams.delete(s);
        if (connection !== undefined && client.destroyed && server.destroyed) this.connections.delete(connection);
      });
    }
    const gone = (): void => void server.destroy();
    client.once('close', gone);
    client.on('error', () => {});
    server.once('error', () => client.destroy());
    server.once('connect', () => {
      client.removeListener('close', gone);
      connection = new Connection(client, server, [...this.toxics.values()], this.world.chance);
      this.connections.add(connection);
    });
  }
}

const show = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`;

/** `host:port`; without a host all addresses of this machine, as in Go. */
function place(text: string, what: string, isStack: (host: string) => boolean): Place {
  const m = /^(.*):(\d{1,5})$/.exec(text);
  const port = Number(m?.[2]);
  if (m === null || port > 65_535) throw new ApiError(400, `${what}: "${text}" is not host:port`);
  const host = (m[1] ?? '').replace(/^\[(.*)\]$/, '$1');
  return { stack: isStack(host), host, port };
}

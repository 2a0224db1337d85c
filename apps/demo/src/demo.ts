import { type Door, UnixDoor, dgram, net, serveHttp } from '@skbus/net';
import { createDemoHttp } from './http.ts';
import { chargen, daytime, discard, echo } from './small-services.ts';

const RETRY_MS = 500;

export interface DemoOptions {
  /** The stack's door; the default stack's unless said. */
  sockPath?: string;
  log?: (line: string) => void;
}

type Listener = {
  on(event: 'error', fn: (e: Error) => void): unknown;
  once(event: 'listening', fn: () => void): unknown;
};

/** Serves all ports, and serves them again whenever the stack (or its socket service) has come back. */
export class Demo {
  private readonly options: DemoOptions;
  private readonly http = createDemoHttp();
  private door: UnixDoor | undefined = undefined;
  private stopped = false;
  private readonly timers = new Set<NodeJS.Timeout>();
  private said = '';
  /** Ports that are served now. */
  readonly serving = new Set<string>();

  constructor(options: DemoOptions = {}) {
    this.options = options;
  }

  start(): void {
    if (this.stopped) return;
    const door = new UnixDoor(this.options.sockPath);
    this.door = door;
    door.onClose(() => {
      this.serving.clear();
      this.later(() => this.start());
    });
    door.opened().then(
      () => this.listen(door),
      (e: Error) => this.say(`waiting: ${e.message}`),
    );
  }

  stop(): void {
    this.stopped = true;
    for (const t of this.timers) clearTimeout(t);
    this.door?.close();
    this.http.closeAllConnections();
  }

  private listen(door: Door): void {
    const tcp =
      (port: number, serve: (c: InstanceType<typeof net.Socket>) => void, allowHalfOpen: boolean) => (): Listener =>
        net.createServer({ door, allowHalfOpen }, serve).listen(port);
    this.keep(door, 'http 80', () => serveHttp(this.http, 80, { door }));
    this.keep(door, 'echo 7', tcp(7, echo, true));
    this.keep(door, 'discard 9', tcp(9, discard, true));
    this.keep(door, 'daytime 13', tcp(13, daytime, false));
    this.keep(door, 'chargen 19', tcp(19, chargen, false));
    this.keep(door, 'echo 7/udp', () => {
      const s = dgram.createSocket({ type: 'udp4', door });
      s.on('message', (m, from) => s.send(m, from.port, from.address, () => {}));
      return s.bind(7);
    });
  }

  /** Tries until it listens: during the boot there is no AF_INET yet. */
  private keep(door: Door, name: string, open: () => Listener): void {
    const server = open();
    server.once('listening', () => {
      this.serving.add(name);
      this.say(`${name} is there`);
    });
    let failed = false;
    server.on('error', (e) => {
      if (failed || door.closed || this.stopped) return;
      failed = true;
      this.say(`${name}: ${e.message}`);
      this.later(() => this.keep(door, name, open));
    });
  }

  private later(fn: () => void): void {
    if (this.stopped) return;
    const t = setTimeout(() => {
      this.timers.delete(t);
      fn();
    }, RETRY_MS);
    this.timers.add(t);
  }

  private say(line: string): void {
    if (line === this.said) return;
    this.said = line;
    this.options.log?.(`demo: ${line}`);
  }
}

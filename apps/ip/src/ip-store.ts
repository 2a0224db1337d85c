import type { Bus, KvStore } from '@skbus/bus';
import { addrFromPb, buckets, devFromPb, pb, routeFromPb, type skbus } from '@skbus/contracts';
import { formatIpv4, type IfAddr, type NetDevice, type Route } from '@skbus/skb';

/**
 * What must outlive this process, in the key-value store. Writes run one after the other, so the last state asked for is
 * the one that stays.
 */
export class IpStore {
  private readonly addr: Table<IfAddr>;
  private readonly route: Table<Route>;
  private readonly netdev: KvStore;
  private readonly protocol: KvStore;
  private readonly sysctl: KvStore;

  private constructor(kv: { addr: KvStore; route: KvStore; netdev: KvStore; protocol: KvStore; sysctl: KvStore }) {
    this.addr = new Table(kv.addr, addrKey, (a) => pb.IfAddr.encode(a).finish());
    this.route = new Table(kv.route, routeKey, (r) => pb.Route.encode(r).finish());
    this.netdev = kv.netdev;
    this.protocol = kv.protocol;
    this.sysctl = kv.sysctl;
  }

  static async open(bus: Bus, netns: string): Promise<IpStore> {
    const [addr, route, netdev, protocol, sysctl] = await Promise.all(
      [buckets.addr, buckets.route, buckets.netdev, buckets.protocol, buckets.sysctl].map((name) =>
        bus.kv(name(netns)),
      ),
    );
    return new IpStore({ addr: addr!, route: route!, netdev: netdev!, protocol: protocol!, sysctl: sysctl! });
  }

  async loadAddrs(): Promise<IfAddr[]> {
    return this.addr.load((b) => addrFromPb(pb.IfAddr.decode(b) as skbus.v1.IfAddr));
  }

  async loadRoutes(): Promise<Route[]> {
    return this.route.load((b) => routeFromPb(pb.Route.decode(b) as skbus.v1.Route));
  }

  /** Makes the store say exactly this. Resolves when it does. */
  async save(addrs: readonly IfAddr[], routes: readonly Route[]): Promise<void> {
    await Promise.all([this.addr.save(addrs), this.route.save(routes)]);
  }

  /** The devices that nic has registered, now and from now on; `undefined`: gone. */
  async watchDevices(onChange: (ifindex: number, dev: NetDevice | undefined) => void): Promise<void> {
    await this.netdev.watch((key, value) => {
      const dev = value && decoded(value, (b) => devFromPb(pb.NetDevice.decode(b) as skbus.v1.NetDevice));
      if (value === undefined || dev !== undefined) onChange(Number(key), dev);
    });
  }

  async loadProtocols(): Promise<skbus.v1.RegisterRequest[]> {
    const rows = [...(await this.protocol.entries()).values()];
    return rows
      .map((b) => decoded(b, (x) => pb.RegisterRequest.decode(x) as skbus.v1.RegisterRequest))
      .filter((r) => r !== undefined);
  }

  async saveProtocol(r: skbus.v1.RegisterRequest.$Properties): Promise<void> {
    if (r.remove) await this.protocol.delete(String(r.key));
    else await this.protocol.put(String(r.key), pb.RegisterRequest.encode(r).finish());
  }

  async forgetProtocols(): Promise<void> {
    for (const key of (await this.protocol.entries()).keys()) await this.protocol.delete(key);
  }

  async loadSysctls(): Promise<[string, string][]> {
    return [...(await this.sysctl.entries())].map(([name, value]) => [name, new TextDecoder().decode(value)]);
  }

  async saveSysctl(name: string, value: string): Promise<void> {
    await this.sysctl.put(name, new TextEncoder().encode(value));
  }
}

/** A bucket that mirrors a table: writes only what differs from what is there. */
class Table<T> {
  private readonly kv: KvStore;
  private readonly keyOf: (row: T) => string;
  private readonly encode: (row: T) => Uint8Array;
  private readonly written = new Map<string, string>();
  private tail: Promise<void> = Promise.resolve();

  constructor(kv: KvStore, keyOf: (row: T) => string, encode: (row: T) => Uint8Array) {
    this.kv = kv;
    this.keyOf = keyOf;
    this.encode = encode;
  }

  async load(decode: (b: Uint8Array) => T): Promise<T[]> {
    const out: T[] = [];
    for (const [key, value] of await this.kv.entries()) {
      this.written.set(key, String(value));
      const row = decoded(value, decode);
      if (row !== undefined) out.push(row);
    }
    return out;
  }

  save(rows: readonly T[]): Promise<void> {
    const want = new Map(rows.map((r) => [this.keyOf(r), this.encode(r)]));
    this.tail = this.tail.catch(() => {}).then(() => this.write(want));
    return this.tail;
  }

  private async write(want: ReadonlyMap<string, Uint8Array>): Promise<void> {
    for (const key of this.written.keys()) {
      if (want.has(key)) continue;
      await this.kv.delete(key);
      this.written.delete(key);
    }
    for (const [key, value] of want) {
      if (this.written.get(key) === String(value)) continue;
      await this.kv.put(key, value);
      this.written.set(key, String(value));
    }
  }
}

const dashed = (a: number): string => formatIpv4(a).replaceAll('.', '-');
const addrKey = (a: IfAddr): string => `${a.ifindex}.${dashed(a.local)}.${a.prefixLen}`;
const routeKey = (r: Route): string =>
  `${r.table}.${dashed(r.dst)}.${r.dstLen}.${r.metric}.${r.tos}.${r.type}.${dashed(r.gateway)}.${r.oif}`;

/** A row that is no message (written by another version) is as good as absent. */
function decoded<T>(b: Uint8Array, decode: (b: Uint8Array) => T): T | undefined {
  try {
    return decode(b);
  } catch {
    return undefined;
  }
}

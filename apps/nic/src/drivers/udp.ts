import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Features, RxMeta } from '@skbus/dev';
import type { SkBuff, Tracepoint } from '@skbus/skb';
import type { DriverEnv, NicConfig, NicDriver, RxSink } from './driver.ts';
import { isLoopback, parseHostPort, type HostPort } from './hostport.ts';

/** ETH_ZLEN: shorter frames are padded, as a network card would. */
const ETH_ZLEN = 60;
/** Datagrams handed to the operating system and not yet sent. */
const TX_RING_MAX = 1024;
/** More than this in one turn of the event loop is more than the rest of the stack can want. */
const RX_RING_MAX = 1024;
const SOCKET_BUFFER = 4 * 1024 * 1024;

const PLAIN: RxMeta = { csum: 'none' };

/**
 * One Ethernet frame per UDP datagram to one peer: the cable is any program that does the same, such as QEMU's
 * `-netdev dgram` or a GNS3 UDP tunnel.
 */
export class UdpDriver implements NicDriver {
  readonly ndoStartXmit: Tracepoint = 'tun_net_xmit';
  readonly features: Features = { csum: false, tso: false };
  private readonly env: DriverEnv;
  private readonly local: HostPort;
  private readonly peer: HostPort;
  private socket: Socket | undefined = undefined;
  private sink: RxSink | undefined = undefined;
  private pending: Uint8Array[] = [];
  inRing = 0;
  private told = false;
  private readonly stats = { rx_stranger: 0, rx_ring_full: 0, tx_ring_full: 0, tx_errors: 0 };

  constructor(config: NicConfig, env: DriverEnv) {
    this.env = env;
    this.local = parseHostPort(config.udpLocal, 'nic udp local', config.udpAnyHost ?? false);
    this.peer = parseHostPort(config.udpPeer, 'nic udp peer', config.udpAnyHost ?? false);
  }

  start(sink: RxSink): Promise<void> {
    this.sink = sink;
    const { host, port } = this.local;
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4' });
    this.socket = socket;
    return new Promise((resolve, reject) => {
      socket.once('error', (e: NodeJS.ErrnoException) => {
        const why = e.code === 'EADDRINUSE' ? 'the port is in use; choose another' : e.message;
        reject(new Error(`nic udp local: ${host}:${port}: ${why}`));
      });
      socket.bind({ address: host, port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        // ICMP port unreachable from an absent peer is no reason to stop: a cable without a peer is a cable.
        socket.on('error', () => this.stats.tx_errors++);
        socket.on('message', (frame, from) => this.onDatagram(frame, from));
        this.growBuffers(socket);
        resolve();
      });
    });
  }

  xmit(skb: SkBuff): boolean {
    if (this.inRing >= TX_RING_MAX || this.socket === undefined) {
      this.stats.tx_ring_full++;
      return false;
    }
    const frame = new Uint8Array(Math.max(ETH_ZLEN, skb.len));
    let at = 0;
    for (const part of skb.slices(0, skb.len)) {
      frame.set(part, at);
      at += part.length;
    }
    this.inRing++;
    this.socket.send(frame, this.peer.port, this.peer.host, this.sent);
    return true;
  }

  flush(): void {} // send() has taken every frame already

  async stop(): Promise<void> {
    const { socket } = this;
    this.socket = undefined;
    this.sink = undefined;
    if (socket !== undefined) await new Promise<void>((done) => void socket.close(done));
  }

  counters(): Record<string, number> {
    return { ...this.stats, tx_queued: this.inRing, rx_queued: this.pending.length };
  }

  private readonly sent = (e: Error | null): void => {
    this.inRing--;
    if (e) this.stats.tx_errors++;
    if (this.told) return;
    this.told = true;
    setImmediate(this.tellSent);
  };

  /** Once for all that left in one turn of the event loop. */
  private readonly tellSent = (): void => {
    this.told = false;
    this.sink?.sent();
  };

  /** The cable is whoever sends from this machine, from whatever port, or from the configured host. */
  private onDatagram(frame: Uint8Array, from: RemoteInfo): void {
    if (!isLoopback(from.address) && from.address !== this.peer.host) {
      this.stats.rx_stranger++;
      return;
    }
    if (this.pending.length >= RX_RING_MAX) {
      this.stats.rx_ring_full++;
      return;
    }
    if (this.pending.push(frame) === 1) setImmediate(this.deliver);
  }

  /** All that arrived in one turn of the event loop is one batch. */
  private readonly deliver = (): void => {
    const frames = this.pending;
    this.pending = [];
    if (this.sink === undefined) return;
    for (const f of frames) this.sink.frame(f, PLAIN);
    this.sink.done();
  };

  private growBuffers(socket: Socket): void {
    try {
      socket.setRecvBufferSize(SOCKET_BUFFER);
      socket.setSendBufferSize(SOCKET_BUFFER);
    } catch (e) {
      this.env.printk(`nic udp: socket buffers stay small: ${e instanceof Error ? e.message : String(e)}`);
    }
  }
}

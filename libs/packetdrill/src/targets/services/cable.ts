import { createSocket, type Socket } from 'node:dgram';
import { ETH_P_ARP, ETH_P_IP, type Ipv4Addr, type MacAddr } from '@skbus/skb';
import {
  ARP_LEN,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  emitArp,
  emitEthernet,
  ETHERNET_HLEN,
  parseArp,
  parseEthernet,
  parseIpv4Header,
} from '@skbus/wire';

const ETH_ZLEN = 60;
const BROADCAST = 0xffff_ffff_ffff;
const GATEWAY_MAC = 0x02_70_64_00_00_01;
const ASK_AGAIN_MS = 200;
const ASK_TIMES = 25;

/** An end point of a UDP socket. */
export interface HostPort {
  host: string;
  port: number;
}

/**
 * The other end of a `udp` NIC's cable: one Ethernet frame per datagram. It is the gateway, behind which the script's
 * remote host lives: answers ARP, carries IP.
 */
export class Cable {
  /** An IP packet that left the stack from its address of this script, and when it was read. */
  onPacket: (packet: Uint8Array, ns: bigint) => void = () => {};
  private readonly socket: Socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  private peer: HostPort | undefined = undefined;
  private stack: { ip: Ipv4Addr; mac: MacAddr } = { ip: 0, mac: BROADCAST };
  private gateway: Ipv4Addr = 0;
  private readonly answers = new Set<(ip: Ipv4Addr, mac: MacAddr) => void>();

  /** Binds; the port is the operating system's choice where it is 0. */
  async listen(local: HostPort): Promise<HostPort> {
    await new Promise<void>((resolve, reject) => {
      this.socket.once('error', reject);
      this.socket.bind(local.port, local.host, resolve);
    });
    // An ICMP error from a NIC that is not there yet.
    this.socket.removeAllListeners('error').on('error', () => {});
    this.socket.on('message', (m: Buffer) => this.onFrame(m, process.hrtime.bigint()));
    this.socket.unref();
    return { host: local.host, port: this.socket.address().port };
  }

  plug(peer: HostPort): void {
    this.peer = peer;
  }

  /**
   * From now on this is the stack's address, and the other the gateway's. Resolves when the stack has answered for its
   * own, by which it also knows the gateway's MAC before the first packet.
   */
  async introduce(local: Ipv4Addr, gateway: Ipv4Addr): Promise<void> {
    this.gateway = gateway;
    for (let i = 0; i < ASK_TIMES; i++) {
      const mac = await this.ask(local);
      if (mac === undefined) continue;
      this.stack = { ip: local, mac };
      return;
    }
    throw new Error('the stack does not answer ARP on its cable');
  }

  send(packet: Uint8Array): void {
    const frame = new Uint8Array(Math.max(ETH_ZLEN, ETHERNET_HLEN + packet.length));
    emitEthernet({ dst: this.stack.mac, src: GATEWAY_MAC, type: ETH_P_IP }, frame, 0);
    frame.set(packet, ETHERNET_HLEN);
    this.put(frame);
  }

  close(): void {
    this.socket.close();
  }

  private ask(ip: Ipv4Addr): Promise<MacAddr | undefined> {
    return new Promise((resolve) => {
      const end = (mac: MacAddr | undefined): void => {
        clearTimeout(late);
        this.answers.delete(take);
        resolve(mac);
      };
      const take = (from: Ipv4Addr, mac: MacAddr): void => {
        if (from === ip) end(mac);
      };
      const late = setTimeout(end, ASK_AGAIN_MS, undefined);
      this.answers.add(take);
      this.arp(ARPOP_REQUEST, BROADCAST, this.gateway, 0, ip);
    });
  }

  private onFrame(b: Uint8Array, ns: bigint): void {
    const eth = parseEthernet(b, 0, b.length);
    if (eth?.type === ETH_P_ARP) this.onArp(b);
    if (eth?.type !== ETH_P_IP) return;
    const ip = parseIpv4Header(b, ETHERNET_HLEN, b.length);
    // A connection of the script before may still have something to say.
    if (ip?.saddr !== this.stack.ip) return;
    this.onPacket(Uint8Array.from(b.subarray(ETHERNET_HLEN, ETHERNET_HLEN + ip.totalLen)), ns);
  }

  private onArp(b: Uint8Array): void {
    const arp = parseArp(b, ETHERNET_HLEN, b.length);
    if (arp?.op === ARPOP_REPLY) for (const take of this.answers) take(arp.spa, arp.sha);
    if (arp?.op === ARPOP_REQUEST && arp.tpa === this.gateway)
      this.arp(ARPOP_REPLY, arp.sha, this.gateway, arp.sha, arp.spa);
  }

  private arp(op: number, to: MacAddr, spa: Ipv4Addr, tha: MacAddr, tpa: Ipv4Addr): void {
    const frame = new Uint8Array(Math.max(ETH_ZLEN, ETHERNET_HLEN + ARP_LEN));
    emitEthernet({ dst: to, src: GATEWAY_MAC, type: ETH_P_ARP }, frame, 0);
    emitArp({ op, sha: GATEWAY_MAC, spa, tha, tpa }, frame, ETHERNET_HLEN);
    this.put(frame);
  }

  private put(frame: Uint8Array): void {
    if (this.peer !== undefined) this.socket.send(frame, this.peer.port, this.peer.host);
  }
}

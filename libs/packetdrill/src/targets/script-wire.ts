import { ETH_P_ARP, ETH_P_IP, formatIpv4, parseIpv4 } from '@skbus/skb';
import type { Host, Net } from '@skbus/sim';
import {
  ARP_LEN,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  emitArp,
  emitEthernet,
  ETHERNET_HLEN,
  parseArp,
  parseEthernet,
} from '@skbus/wire';
import type { TargetOptions } from '../target.ts';

/** Another address of the same network. */
const neighbourOf = (ip: number): string => formatIpv4((ip ^ 2) >>> 0);

/** What the script's side of the wire is called on Ethernet. */
const SCRIPT_MAC = 0x02_0000_00_5c01;

/**
 * The one device of a simulated host, and what is behind it: the script. Every address but the host's own answers to ARP
 * there, so that it behaves like the bare IP device that packetdrill uses. Nothing takes time on it.
 */
export class ScriptWire {
  /** Packets of the host, from the IP header on, not taken yet. */
  readonly sent: { atMs: number; bytes: Uint8Array }[] = [];
  private readonly host: Host;
  private readonly net: Net;
  private readonly ifindex: number;
  private readonly localIp: number;
  private mac = 0;

  constructor(net: Net, host: Host, opts: TargetOptions) {
    this.net = net;
    this.host = host;
    this.localIp = parseIpv4(opts.localIp)!;
    const link = net.link({ latencyMs: 0 });
    this.ifindex = host.attach(link, `${opts.localIp}/${opts.prefixLen}`, { mtu: opts.mtu });
    link.attach({ frame: (bytes) => this.onFrame(bytes), done: () => {} });
    // Linux's own runner names the host itself: everything is on the link.
    host.route('default', opts.gatewayIp === opts.localIp ? neighbourOf(this.localIp) : opts.gatewayIp);
    this.mac = host.ip.devices().find((d) => d.ifindex === this.ifindex)!.mac;
  }

  /** A packet arrives, and the host does all that it does about it at once. */
  inject(packet: Uint8Array): void {
    this.receive(this.frame(ETH_P_IP, packet));
  }

  private onFrame(bytes: Uint8Array): void {
    const eth = parseEthernet(bytes, 0, bytes.length);
    if (eth?.type === ETH_P_ARP) this.answerArp(bytes);
    else if (eth?.type === ETH_P_IP) this.sent.push({ atMs: this.net.clock.now, bytes: bytes.slice(ETHERNET_HLEN) });
  }

  private answerArp(bytes: Uint8Array): void {
    const q = parseArp(bytes, ETHERNET_HLEN, bytes.length);
    if (q === undefined || q.op !== ARPOP_REQUEST || q.tpa === this.localIp) return;
    const reply = new Uint8Array(ARP_LEN);
    emitArp({ op: ARPOP_REPLY, sha: SCRIPT_MAC, spa: q.tpa, tha: q.sha, tpa: q.spa }, reply, 0);
    this.receive(this.frame(ETH_P_ARP, reply));
  }

  private frame(type: number, payload: Uint8Array): Uint8Array {
    const b = new Uint8Array(ETHERNET_HLEN + payload.length);
    emitEthernet({ dst: this.mac, src: SCRIPT_MAC, type }, b, 0);
    b.set(payload, ETHERNET_HLEN);
    return b;
  }

  private receive(frame: Uint8Array): void {
    const { nic } = this.host.shells;
    nic.run((now) => this.host.nic.receive(frame, this.ifindex, { csum: 'none' }, now));
  }
}

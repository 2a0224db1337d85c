import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { neighFromPb, neighToPb, pb, type skbus } from '@skbus/contracts';
import { ERRNO, errnoText, formatIpv4, NUD_PERMANENT, type NeighEntry } from '@skbus/skb';
import { NeighService } from './neigh.service.ts';

/** `ctl.v1.<netns>.neigh.*` */
@Controller()
export class NeighController {
  constructor(private readonly neigh: NeighService) {}

  /** `ip neigh`: SHOW (of one device where given), GET, ADD (not over an existing one), REPLACE, DEL, FLUSH. */
  @MessagePattern('neigh')
  async handle(data: Uint8Array): Promise<Uint8Array> {
    const { op, neigh } = pb.NetRequest.decode(data);
    const want = neigh ? neighFromPb(neigh as skbus.v1.NeighEntry) : undefined;
    const { SHOW, GET, ADD, REPLACE, DEL, FLUSH } = pb.NetRequest.Op;
    if (op === SHOW)
      return show(this.neigh.table.entries().filter((n) => !want?.ifindex || n.ifindex === want.ifindex));
    if (op === FLUSH) {
      this.neigh.flush(want?.ifindex ?? 0);
      return show([]);
    }
    if (want === undefined || want.ifindex === 0 || want.addr === 0)
      return refuse(ERRNO.EINVAL, 'neigh: needs a device and an address');
    const known = this.neigh.table.entries().find((n) => n.ifindex === want.ifindex && n.addr === want.addr);
    if (op === GET) return known ? show([known]) : failed(ERRNO.ENOENT, want);
    if (op === DEL) return done(await this.neigh.del(want.ifindex, want.addr), want);
    if (op !== ADD && op !== REPLACE)
      return refuse(ERRNO.EOPNOTSUPP, 'neigh takes SHOW, GET, ADD, REPLACE, DEL and FLUSH');
    if (op === ADD && known) return failed(ERRNO.EEXIST, want);
    return done(await this.neigh.set(want.ifindex, want.addr, want.lladdr, want.state || NUD_PERMANENT), want);
  }

  @MessagePattern('sysctl')
  async sysctl(data: Uint8Array): Promise<Uint8Array> {
    const { name, value } = pb.SysctlRequest.decode(data);
    const { errno, values } = await this.neigh.sysctl(name, value);
    const message = errno === 0 ? '' : `${name}: ${errnoText(errno)}`;
    return pb.SysctlReply.encode({ errno, message, values, foreign: errno === ERRNO.ENOENT }).finish();
  }
}

const show = (entries: NeighEntry[]): Uint8Array =>
  pb.NetReply.encode({ errno: 0, neighs: entries.map(neighToPb) }).finish();
const refuse = (errno: number, message: string): Uint8Array => pb.NetReply.encode({ errno, message }).finish();
const failed = (errno: number, n: NeighEntry): Uint8Array =>
  refuse(errno, `${formatIpv4(n.addr)}: ${errnoText(errno)}`);
const done = (errno: number, n: NeighEntry): Uint8Array => (errno === 0 ? show([]) : failed(errno, n));

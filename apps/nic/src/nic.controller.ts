import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { devFromPb, devToPb, pb, type skbus } from '@skbus/contracts';
import { flatStats } from '@skbus/dev';
import { ERRNO, errnoText } from '@skbus/skb';
import { NicService } from './nic.service.ts';

/** `ctl.v1.<netns>.nic.*` */
@Controller()
export class NicController {
  constructor(private readonly nic: NicService) {}

  @MessagePattern('register')
  async register(data: Uint8Array): Promise<Uint8Array> {
    return pb.RegisterReply.encode(await this.nic.registerPack(data)).finish();
  }

  /** SHOW and GET list devices with their counters, one where the request names it; SET changes MTU and up or down. */
  @MessagePattern('link')
  async link(data: Uint8Array): Promise<Uint8Array> {
    const request = pb.NetRequest.decode(data);
    const want = request.dev ? devFromPb(request.dev as skbus.v1.NetDevice) : undefined;
    const { SHOW, GET, SET } = pb.NetRequest.Op;
    if (request.op === SHOW || request.op === GET) return this.show(want);
    if (request.op !== SET || want === undefined)
      return refuse(ERRNO.EOPNOTSUPP, 'link takes SHOW, GET and SET with a device');
    const errno = await this.nic.setLink(want);
    return errno === 0 ? this.show(want) : refuse(errno, `${nameOf(want)}: ${errnoText(errno)}`);
  }

  private show(want: { ifindex: number; name: string } | undefined): Uint8Array {
    const named = want !== undefined && (want.ifindex !== 0 || want.name !== '');
    const one = named ? this.nic.find(want) : undefined;
    if (named && one === undefined) return refuse(ERRNO.ENODEV, `Device "${nameOf(want)}" does not exist.`);
    const devs = (one ? [one] : this.nic.core.devices()).map((d) => {
      const stats = this.nic.core.stats(d.ifindex);
      return devToPb(d, stats && flatStats(stats));
    });
    return pb.NetReply.encode({ errno: 0, devs }).finish();
  }
}

const nameOf = (d: { ifindex: number; name: string }): string => d.name || `ifindex ${d.ifindex}`;
const refuse = (errno: number, message: string): Uint8Array => pb.NetReply.encode({ errno, message }).finish();

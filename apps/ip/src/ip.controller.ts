import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { addrFromPb, pb, queryFromPb, routeFromPb, type skbus } from '@skbus/contracts';
import { defaultScope } from '@skbus/ip';
import {
  ERRNO,
  errnoText,
  formatIpv4,
  type IfAddr,
  type Route,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTPROT_BOOT,
} from '@skbus/skb';
import { IpService } from './ip.service.ts';

type Reply = skbus.v1.NetReply.$Properties;
const Op = pb.NetRequest.Op;

/** `ctl.v1.<netns>.ip.*`: what rtnetlink is in a kernel. */
@Controller()
export class IpController {
  constructor(private readonly service: IpService) {}

  @MessagePattern('register')
  async register(data: Uint8Array): Promise<Uint8Array> {
    const r = pb.RegisterRequest.decode(data);
    return pb.RegisterReply.encode(await this.service.register(r)).finish();
  }

  /** SHOW, ADD, REPLACE, DEL; FLUSH takes every address of a device. */
  @MessagePattern('addr')
  async addr(data: Uint8Array): Promise<Uint8Array> {
    const q = pb.NetRequest.decode(data);
    const a = q.addr ? addrFromPb(q.addr as skbus.v1.IfAddr) : undefined;
    return encode(await this.onAddr(q.op, a));
  }

  /** SHOW (one table or all), GET, ADD, APPEND, REPLACE, DEL; FLUSH takes the routes of a table or, without one, learnt path MTUs. */
  @MessagePattern('route')
  async route(data: Uint8Array): Promise<Uint8Array> {
    const q = pb.NetRequest.decode(data);
    if (q.op === Op.GET) return encode(this.get(q));
    const r = q.route ? routeFromPb(q.route as skbus.v1.Route) : undefined;
    if (q.op === Op.SHOW)
      return encode({ routes: this.service.ip.routes(q.table).filter((x) => r === undefined || selects(r, x)) });
    if (q.op === Op.FLUSH) return encode(await this.flushRoutes(q.table, r));
    if (r === undefined) return encode(refuse(ERRNO.EINVAL, 'the request names no route'));
    return encode(await this.changeRoute(q.op, r));
  }

  @MessagePattern('route_query')
  routeQuery(data: Uint8Array): Uint8Array {
    const q = queryFromPb(pb.RouteQuery.decode(data) as skbus.v1.RouteQuery);
    return pb.RouteReply.encode(this.service.query((now) => this.service.ip.getRoute(q, now))).finish();
  }

  @MessagePattern('ping')
  async ping(data: Uint8Array): Promise<Uint8Array> {
    const { daddr, id, seq, size, ttl, timeoutMs } = pb.PingRequest.decode(data);
    const r = await this.service.ping({ daddr, id, seq, size, ttl }, timeoutMs);
    return pb.PingReply.encode(r).finish();
  }

  @MessagePattern('sysctl')
  async sysctl(data: Uint8Array): Promise<Uint8Array> {
    const { name, value } = pb.SysctlRequest.decode(data);
    return pb.SysctlReply.encode(await this.service.sysctl(name, value)).finish();
  }

  private async onAddr(op: skbus.v1.NetRequest.Op, a: IfAddr | undefined): Promise<Reply> {
    const { ip } = this.service;
    if (op === Op.SHOW || op === Op.GET) {
      return { addrs: ip.addrs().filter((x) => !a || a.ifindex === 0 || x.ifindex === a.ifindex), devs: [] };
    }
    if (a === undefined) return refuse(ERRNO.EINVAL, 'the request names no address');
    const what = `${formatIpv4(a.local)}/${a.prefixLen}`;
    const dev = ip.devices().find((d) => d.ifindex === a.ifindex);
    if (dev === undefined) return refuse(ERRNO.ENODEV, `there is no device with ifindex ${a.ifindex}`);
    switch (op) {
      case Op.ADD:
      case Op.REPLACE: {
        const errno = await this.service.change(() => ip.addAddr({ ...a, label: a.label || dev.name }));
        if (errno === 0 || (op === Op.REPLACE && errno === ERRNO.EEXIST)) return {};
        return refuse(
          errno,
          errno === ERRNO.EEXIST ? `${what} is already on ${dev.name}` : `${what}: ${errnoText(errno)}`,
        );
      }
      case Op.DEL: {
        const errno = await this.service.change(() => ip.delAddr(a.ifindex, a.local, a.prefixLen));
        return errno === 0 ? {} : refuse(errno, `${what} on ${dev.name}: ${errnoText(errno)}`);
      }
      case Op.FLUSH:
        await this.service.change(() => {
          for (const x of ip.addrs()) if (x.ifindex === a.ifindex) ip.delAddr(x.ifindex, x.local, x.prefixLen);
          return 0;
        });
        return {};
      default:
        return refuse(ERRNO.EOPNOTSUPP, 'addr takes SHOW, ADD, REPLACE, DEL and FLUSH');
    }
  }

  private async changeRoute(op: skbus.v1.NetRequest.Op, want: Route): Promise<Reply> {
    const { ip } = this.service;
    if (op === Op.DEL) {
      const { scope, ...named } = want;
      const table = want.table || RT_TABLE_MAIN;
      const errno = await this.service.change(() => {
        const err = ip.delRoute({ ...named, table, ...(scope ? { scope } : {}) });
        const waiting = (r: Route): boolean =>
          r.table === table && r.dst === want.dst && r.dstLen === want.dstLen && selects(want, r);
        return err === ERRNO.ESRCH && this.service.forgetKept(waiting) ? 0 : err;
      });
      return errno === 0
        ? {}
        : refuse(errno, `${prefixOf(want)}: ${errno === ERRNO.ESRCH ? 'no such route' : errnoText(errno)}`);
    }
    if (op !== Op.ADD && op !== Op.APPEND && op !== Op.REPLACE) {
      return refuse(ERRNO.EOPNOTSUPP, 'route takes SHOW, GET, ADD, APPEND, REPLACE, DEL and FLUSH');
    }
    const type = want.type || RTN_UNICAST;
    // what iproute2 fills in for its users
    const r: Route = {
      ...want,
      type,
      table: want.table || RT_TABLE_MAIN,
      protocol: want.protocol || RTPROT_BOOT,
      scope: want.scope || defaultScope(type, want.gateway),
    };
    const errno = await this.service.change(() =>
      ip.addRoute(r, { append: op === Op.APPEND, replace: op === Op.REPLACE }),
    );
    return errno === 0 ? {} : refuse(errno, routeError(errno, r));
  }

  private async flushRoutes(table: number, match: Route | undefined): Promise<Reply> {
    const { ip } = this.service;
    if (table === 0 && match === undefined) {
      this.service.query(() => ip.flushPmtu());
      return {};
    }
    await this.service.change(() => {
      for (const r of ip.routes(table || RT_TABLE_MAIN)) if (match === undefined || selects(match, r)) ip.delRoute(r);
      return 0;
    });
    return {};
  }

  private get(q: skbus.v1.NetRequest.$Shape): Reply {
    if (!q.query) return refuse(ERRNO.EINVAL, 'the request names no destination');
    const query = queryFromPb(q.query as skbus.v1.RouteQuery);
    const reply = this.service.query((now) => this.service.ip.getRoute(query, now));
    return reply.errno === 0
      ? { reply }
      : { ...refuse(reply.errno, `${formatIpv4(query.daddr)}: ${errnoText(reply.errno)}`), reply };
  }
}

const encode = (r: Reply): Uint8Array => pb.NetReply.encode(r).finish();
const refuse = (errno: number, message: string): Reply => ({ errno, message });
const prefixOf = (r: Route): string => (r.dstLen === 0 ? 'default' : `${formatIpv4(r.dst)}/${r.dstLen}`);

/** Whether a route has everything that a selector names; what is zero is not named. */
function selects(want: Route, r: Route): boolean {
  const named = (['gateway', 'oif', 'prefsrc', 'type', 'protocol', 'metric', 'tos', 'scope'] as const).every(
    (k) => !want[k] || want[k] === r[k],
  );
  return named && (want.dst === 0 && want.dstLen === 0 ? true : want.dst === r.dst && want.dstLen === r.dstLen);
}

/** The kernel's own words where it has them (extack). */
function routeError(errno: number, r: Route): string {
  const what = prefixOf(r);
  if (errno === ERRNO.ENETUNREACH && r.gateway !== 0)
    return `${what}: Nexthop has invalid gateway: ${formatIpv4(r.gateway)} is on no link of ours`;
  if (errno === ERRNO.ENODEV) return `${what}: there is no device with ifindex ${r.oif}`;
  if (errno === ERRNO.ENETDOWN) return `${what}: Device for nexthop is not up`;
  return `${what}: ${errnoText(errno)}`;
}

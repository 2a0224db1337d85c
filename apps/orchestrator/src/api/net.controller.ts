import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import { monotonicMs } from '@skbus/nest-kit';
import { addrFromPb, devFromPb, macToBytes, neighFromPb, pb, routeFromPb, type skbus } from '@skbus/contracts';
import {
  formatIpv4,
  formatMac,
  IFF_UP,
  maskOf,
  NUD_PERMANENT,
  NUD_REACHABLE,
  parseCidr,
  parseIpv4,
  parseMac,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  type NetDevice,
} from '@skbus/skb';
import { Ctl } from './ctl.ts';
import {
  addrBody,
  flushBody,
  linkBody,
  neighBody,
  routeBody,
  routeGetQuery,
  routeListQuery,
  type AddrBody,
  type FlushBody,
  type LinkBody,
  type NeighBody,
  type RouteBody,
  type RouteGetQuery,
  type RouteListQuery,
} from './schemas.ts';
import { openApi, ZodPipe } from './zod-pipe.ts';

const Op = pb.NetRequest.Op;
const ip = (text: string | undefined): number => (text === undefined ? 0 : parseIpv4(text)!);

/** Devices, addresses, routes, neighbours: rtnetlink as REST. Addresses are text here. */
@ApiTags('net')
@Controller()
export class NetController {
  constructor(@Inject(Ctl) private readonly ctl: Ctl) {}

  @Get('link')
  @ApiOperation({ summary: 'Devices with their counters' })
  async links(): Promise<unknown> {
    const reply = await this.ctl.net('nic', 'link', { op: Op.SHOW });
    return (reply.devs as skbus.v1.NetDevice[]).map((m) => {
      const d = devFromPb(m);
      return { ...d, mac: formatMac(d.mac), stats: m.stats };
    });
  }

  @Patch('link/:dev')
  @ApiOperation({ summary: 'Set a device up or down, its MTU or its address' })
  @ApiBody({ schema: openApi(linkBody) })
  async setLink(@Param('dev') name: string, @Body(new ZodPipe(linkBody)) b: LinkBody): Promise<unknown> {
    const d = await this.ctl.device(name);
    const flags = b.up === undefined ? d.flags : b.up ? d.flags | IFF_UP : d.flags & ~IFF_UP;
    const mac = macToBytes(b.address === undefined ? d.mac : parseMac(b.address));
    await this.ctl.net('nic', 'link', {
      op: Op.SET,
      dev: { ifindex: d.ifindex, name, mac, mtu: b.mtu ?? d.mtu, flags },
    });
    return { ok: true };
  }

  @Get('addr')
  @ApiOperation({ summary: 'Addresses' })
  async addrs(): Promise<unknown> {
    const [reply, devs] = await Promise.all([this.ctl.net('ip', 'addr', { op: Op.SHOW }), this.ctl.devices()]);
    return (reply.addrs as skbus.v1.IfAddr[]).map(addrFromPb).map((a) => ({
      ...a,
      dev: nameOf(devs, a.ifindex),
      local: formatIpv4(a.local),
      broadcast: a.broadcast ? formatIpv4(a.broadcast) : '',
    }));
  }

  @Post('addr')
  @ApiOperation({ summary: 'Add an address' })
  @ApiBody({ schema: openApi(addrBody) })
  async addAddr(@Body(new ZodPipe(addrBody)) b: AddrBody): Promise<unknown> {
    const op = b.replace ? Op.REPLACE : Op.ADD;
    await this.ctl.net('ip', 'addr', { op, addr: await this.addrOf(b) });
    return { ok: true };
  }

  @Delete('addr')
  @ApiOperation({ summary: 'Delete an address' })
  @ApiBody({ schema: openApi(addrBody) })
  async delAddr(@Body(new ZodPipe(addrBody)) b: AddrBody): Promise<unknown> {
    await this.ctl.net('ip', 'addr', { op: Op.DEL, addr: await this.addrOf(b) });
    return { ok: true };
  }

  @Get('route')
  @ApiOperation({ summary: 'Routes of one table, or of all (table=0)' })
  async routes(@Query(new ZodPipe(routeListQuery)) q: RouteListQuery): Promise<unknown> {
    const [reply, devs] = await Promise.all([
      this.ctl.net('ip', 'route', { op: Op.SHOW, table: q.table }),
      this.ctl.devices(),
    ]);
    return (reply.routes as skbus.v1.Route[]).map(routeFromPb).map((r) => ({
      ...r,
      dst: formatIpv4(r.dst),
      gateway: r.gateway ? formatIpv4(r.gateway) : '',
      dev: nameOf(devs, r.oif),
      prefsrc: r.prefsrc ? formatIpv4(r.prefsrc) : '',
    }));
  }

  @Post('route')
  @ApiOperation({ summary: 'Add a route' })
  @ApiBody({ schema: openApi(routeBody) })
  async addRoute(@Body(new ZodPipe(routeBody)) b: RouteBody): Promise<unknown> {
    const op = { add: Op.ADD, replace: Op.REPLACE, append: Op.APPEND }[b.op ?? 'add'];
    await this.ctl.net('ip', 'route', { op, route: await this.routeOf(b) });
    return { ok: true };
  }

  @Delete('route')
  @ApiOperation({ summary: 'Delete a route' })
  @ApiBody({ schema: openApi(routeBody) })
  async delRoute(@Body(new ZodPipe(routeBody)) b: RouteBody): Promise<unknown> {
    await this.ctl.net('ip', 'route', { op: Op.DEL, route: await this.routeOf(b) });
    return { ok: true };
  }

  @Get('route/get')
  @ApiOperation({ summary: 'Where a packet to an address goes' })
  async getRoute(@Query(new ZodPipe(routeGetQuery)) q: RouteGetQuery): Promise<unknown> {
    const devs = await this.ctl.devices();
    const oif = q.oif === undefined ? 0 : (await this.ctl.device(q.oif)).ifindex;
    const query = { id: 1, daddr: ip(q.to), saddr: ip(q.from), oif, tos: q.tos ?? 0 };
    const { reply } = await this.ctl.net('ip', 'route', { op: Op.GET, query });
    const r = reply as skbus.v1.RouteReply;
    return {
      dst: formatIpv4(r.daddr),
      gateway: r.gateway && r.gateway !== r.daddr ? formatIpv4(r.gateway) : '',
      dev: nameOf(devs, r.oif),
      prefsrc: formatIpv4(r.saddr),
      mtu: r.mtu,
      type: r.type,
      from: q.from ?? '',
    };
  }

  @Get('neigh')
  @ApiOperation({ summary: 'Neighbours' })
  async neighs(): Promise<unknown> {
    const [reply, devs] = await Promise.all([this.ctl.net('neigh', 'neigh', { op: Op.SHOW }), this.ctl.devices()]);
    return (reply.neighs as skbus.v1.NeighEntry[]).map(neighFromPb).map((n) => ({
      ifindex: n.ifindex,
      dev: nameOf(devs, n.ifindex),
      addr: formatIpv4(n.addr),
      lladdr: n.lladdr === undefined ? '' : formatMac(n.lladdr),
      state: n.state,
      probes: n.probes,
      usedAgoMs: ago(n.usedMs),
      confirmedAgoMs: ago(n.confirmedMs),
      updatedAgoMs: ago(n.updatedMs),
    }));
  }

  @Post('neigh')
  @ApiOperation({ summary: 'Add a neighbour, permanent unless a state is given' })
  @ApiBody({ schema: openApi(neighBody) })
  async addNeigh(@Body(new ZodPipe(neighBody)) b: NeighBody): Promise<unknown> {
    await this.ctl.net('neigh', 'neigh', { op: b.replace ? Op.REPLACE : Op.ADD, neigh: await this.neighOf(b) });
    return { ok: true };
  }

  @Delete('neigh')
  @ApiOperation({ summary: 'Delete a neighbour' })
  @ApiBody({ schema: openApi(neighBody) })
  async delNeigh(@Body(new ZodPipe(neighBody)) b: NeighBody): Promise<unknown> {
    await this.ctl.net('neigh', 'neigh', { op: Op.DEL, neigh: await this.neighOf(b) });
    return { ok: true };
  }

  @Post('addr/flush')
  @HttpCode(200)
  @ApiOperation({ summary: 'Delete every address of a device' })
  @ApiBody({ schema: openApi(flushBody) })
  async flushAddrs(@Body(new ZodPipe(flushBody)) b: FlushBody): Promise<unknown> {
    const { ifindex } = await this.ctl.device(b.dev);
    await this.ctl.net('ip', 'addr', {
      op: Op.FLUSH,
      addr: { ifindex, local: 0, prefixLen: 0, broadcast: 0, scope: 0, label: '' },
    });
    return { ok: true };
  }

  @Post('neigh/flush')
  @HttpCode(200)
  @ApiOperation({ summary: 'Forget the neighbours of a device that are not permanent' })
  @ApiBody({ schema: openApi(flushBody) })
  async flushNeighs(@Body(new ZodPipe(flushBody)) b: FlushBody): Promise<unknown> {
    const { ifindex } = await this.ctl.device(b.dev);
    await this.ctl.net('neigh', 'neigh', {
      op: Op.FLUSH,
      neigh: { ifindex, addr: 0, lladdr: new Uint8Array(0), state: 0 },
    });
    return { ok: true };
  }

  private async addrOf(b: AddrBody): Promise<skbus.v1.IfAddr.$Properties> {
    const { addr: local, len: prefixLen } = parseCidr(b.address)!;
    const dev = await this.ctl.device(b.dev);
    const broadcast = b.broadcast === undefined ? 0 : ip(b.broadcast);
    const scope = b.scope ?? (local >>> 24 === 127 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE);
    return { ifindex: dev.ifindex, local, prefixLen, broadcast, scope, label: b.label ?? b.dev };
  }

  private async routeOf(b: RouteBody): Promise<skbus.v1.Route.$Properties> {
    const to = b.dst === 'default' ? { addr: 0, len: 0 } : parseCidr(b.dst)!;
    const oif = b.dev === undefined ? 0 : (await this.ctl.device(b.dev)).ifindex;
    return {
      dst: (to.addr & maskOf(to.len)) >>> 0,
      dstLen: to.len,
      gateway: ip(b.via),
      oif,
      prefsrc: ip(b.src),
      table: b.table ?? 0,
      type: b.type ?? 0,
      scope: b.scope ?? (b.via === undefined && b.type === undefined ? RT_SCOPE_LINK : 0),
      protocol: b.protocol ?? 0,
      metric: b.metric ?? 0,
      tos: b.tos ?? 0,
      mtu: b.mtu ?? 0,
    };
  }

  private async neighOf(b: NeighBody): Promise<skbus.v1.NeighEntry.$Properties> {
    const dev = await this.ctl.device(b.dev);
    const lladdr = b.lladdr === undefined ? new Uint8Array(0) : macToBytes(parseMac(b.lladdr));
    const state = b.state ?? (b.lladdr === undefined ? NUD_REACHABLE : NUD_PERMANENT);
    return { ifindex: dev.ifindex, addr: ip(b.address), lladdr, state };
  }
}

/** All services of a machine have the same clock. */
const ago = (ms: number): number => Math.max(0, Math.round(monotonicMs() - ms));

const nameOf = (devs: readonly NetDevice[], ifindex: number): string =>
  ifindex === 0 ? '' : (devs.find((d) => d.ifindex === ifindex)?.name ?? `if${ifindex}`);

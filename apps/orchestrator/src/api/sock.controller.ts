import { Body, Controller, Delete, Get, HttpCode, Inject, Param, ParseIntPipe, Post, Put, Query } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import { LAYERS, pb, type skbus } from '@skbus/contracts';
import { ERRNO, errnoName, errnoText, formatIpv4, parseIpv4 } from '@skbus/skb';
import { Ctl, refusal } from './ctl.ts';
import {
  exposeBody,
  pingBody,
  sysctlBody,
  sysctlQuery,
  type ExposeBody,
  type PingBody,
  type SysctlBody,
  type SysctlQuery,
} from './schemas.ts';
import { openApi, ZodPipe } from './zod-pipe.ts';

type SockRow = Record<string, unknown> & { laddr: number; raddr: number };

const withTextAddresses = (r: SockRow): SockRow =>
  ({ ...r, laddr: formatIpv4(r.laddr), raddr: formatIpv4(r.raddr) }) as unknown as SockRow;

/** Sockets and what is done with them. */
@ApiTags('sockets')
@Controller()
export class SockController {
  constructor(@Inject(Ctl) private readonly ctl: Ctl) {}

  @Get('ss')
  @ApiOperation({ summary: 'Sockets as TCP, UDP and the socket layer see them' })
  async ss(): Promise<unknown> {
    const rows = async (layer: 'tcp' | 'udp' | 'socket'): Promise<SockRow[]> => {
      const all: SockRow[] = [];
      let skip = 0;
      do {
        const request = pb.SockDiagRequest.encode({ skip }).finish();
        const { json, next } = pb.SockDiagReply.decode(await this.ctl.request(layer, 'sock_diag', request));
        for (const row of JSON.parse(json) as SockRow[]) all.push(withTextAddresses(row));
        skip = next;
      } while (skip > 0);
      return all;
    };
    const [tcp, udp, socket] = await Promise.all([rows('tcp'), rows('udp'), rows('socket').catch(() => [])]);
    return { tcp, udp, socket };
  }

  @Get('expose')
  @ApiOperation({ summary: 'Ports of the stack that lead to real servers' })
  exposed(): Promise<unknown> {
    return this.expose({ op: pb.ExposeRequest.Op.LIST });
  }

  @Post('expose')
  @ApiOperation({ summary: 'Lead connections to a port of the stack to a real server' })
  @ApiBody({ schema: openApi(exposeBody) })
  addExposed(@Body(new ZodPipe(exposeBody)) b: ExposeBody): Promise<unknown> {
    return this.expose({ op: pb.ExposeRequest.Op.ADD, port: b.port, targetHost: b.host, targetPort: b.targetPort });
  }

  @Delete('expose/:port')
  @ApiOperation({ summary: 'Stop it; connections that are open stay' })
  delExposed(@Param('port', ParseIntPipe) port: number): Promise<unknown> {
    return this.expose({ op: pb.ExposeRequest.Op.DEL, port });
  }

  @Post('ping')
  @HttpCode(200)
  @ApiOperation({ summary: 'One ICMP echo request; answers when the reply, an error or the timeout comes' })
  @ApiBody({ schema: openApi(pingBody) })
  async ping(@Body(new ZodPipe(pingBody)) b: PingBody): Promise<unknown> {
    const { id, seq, size, ttl, timeoutMs } = b;
    const request = pb.PingRequest.encode({ daddr: parseIpv4(b.address)!, id, seq, size, ttl, timeoutMs }).finish();
    const r = pb.PingReply.decode(await this.ctl.request('ip', 'ping', request, timeoutMs + 2_000));
    return {
      errno: r.errno,
      error: r.errno ? errnoName(r.errno) : '',
      strerror: r.errno ? errnoText(r.errno) : '',
      from: r.from ? formatIpv4(r.from) : '',
      ttl: r.ttl,
      rttMs: r.rttMs,
      type: r.type,
      code: r.code,
      bytes: r.bytes,
      seq: r.seq,
    };
  }

  @Get('sysctl')
  @ApiOperation({ summary: 'sysctls of all services, or one by name' })
  async sysctls(@Query(new ZodPipe(sysctlQuery)) q: SysctlQuery): Promise<unknown> {
    const { values } = await this.sysctl(q.name, '');
    if (q.name !== '' && Object.keys(values).length === 0) throw refusal(ERRNO.ENOENT, `there is no sysctl ${q.name}`);
    return values;
  }

  @Put('sysctl')
  @ApiOperation({ summary: 'Set a sysctl' })
  @ApiBody({ schema: openApi(sysctlBody) })
  async setSysctl(@Body(new ZodPipe(sysctlBody)) b: SysctlBody): Promise<unknown> {
    const { values, refused } = await this.sysctl(b.name, b.value);
    if (Object.keys(values).length > 0) return values;
    throw refused ? refusal(refused.errno, refused.message) : refusal(ERRNO.ENOENT, `there is no sysctl ${b.name}`);
  }

  private async expose(r: skbus.v1.ExposeRequest.$Properties): Promise<unknown> {
    const reply = pb.ExposeReply.decode(
      await this.ctl.request('socket', 'expose', pb.ExposeRequest.encode(r).finish()),
    );
    if (reply.errno !== 0) throw refusal(reply.errno, reply.message);
    return (reply.exposed as skbus.v1.Exposed[]).map((e) => ({
      port: e.port,
      host: e.targetHost,
      targetPort: e.targetPort,
      connections: e.connections,
    }));
  }

  /** Asks every service; each answers for the names it has. */
  private async sysctl(
    name: string,
    value: string,
  ): Promise<{ values: Record<string, string>; refused: skbus.v1.SysctlReply | undefined }> {
    const values: Record<string, string> = {};
    let refused: skbus.v1.SysctlReply | undefined;
    const request = pb.SysctlRequest.encode({ name: name.replaceAll('/', '.'), value }).finish();
    await Promise.all(
      LAYERS.map(async (layer) => {
        const bytes = await this.ctl.request(layer, 'sysctl', request, 1_000).catch(() => undefined);
        if (!bytes) return;
        const r = pb.SysctlReply.decode(bytes) as skbus.v1.SysctlReply;
        if (r.errno === 0) Object.assign(values, r.values);
        else if (!r.foreign) refused = r;
      }),
    );
    return { values: Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))), refused };
  }
}

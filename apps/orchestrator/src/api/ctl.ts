import { HttpException, Inject, Injectable } from '@nestjs/common';
import { BusError } from '@skbus/bus';
import { devFromPb, pb, subjects, type Layer, type skbus } from '@skbus/contracts';
import { ERRNO, errnoName, errnoText, type NetDevice } from '@skbus/skb';
import type { Stack } from '../stack.ts';

/** Injection token of the stack that an API belongs to. */
export const STACK = Symbol('Stack');

const TIMEOUT_MS = 3_000;

/** Requests to the services, with their refusals as HTTP errors. */
@Injectable()
export class Ctl {
  constructor(@Inject(STACK) readonly stack: Stack) {}

  async request(layer: Layer, verb: string, data: Uint8Array, timeoutMs = TIMEOUT_MS): Promise<Uint8Array> {
    // What is changed while a layer is replaced must not be told to the one that goes.
    await this.stack.upgrading;
    try {
      return await this.stack.bus.request(subjects.ctl(this.stack.netns, layer, verb), data, timeoutMs);
    } catch (e) {
      const code = e instanceof BusError ? e.code : 'REMOTE';
      const why = e instanceof Error ? e.message : String(e);
      if (code === 'REMOTE') throw new HttpException({ statusCode: 502, message: `the ${layer} service: ${why}` }, 502);
      const message = `the ${layer} service does not answer (${verb}); "skbus status" shows how it is`;
      throw new HttpException({ statusCode: 503, message }, 503);
    }
  }

  async net(
    layer: 'nic' | 'ip' | 'neigh',
    verb: string,
    r: skbus.v1.NetRequest.$Properties,
  ): Promise<skbus.v1.NetReply> {
    const reply = pb.NetReply.decode(await this.request(layer, verb, pb.NetRequest.encode(r).finish()));
    if (reply.errno !== 0) throw refusal(reply.errno, reply.message);
    return reply as skbus.v1.NetReply;
  }

  async devices(): Promise<NetDevice[]> {
    const reply = await this.net('nic', 'link', { op: pb.NetRequest.Op.SHOW });
    return (reply.devs as skbus.v1.NetDevice[]).map(devFromPb);
  }

  async device(name: string): Promise<NetDevice> {
    const dev = (await this.devices()).find((d) => d.name === name);
    if (!dev) throw refusal(ERRNO.ENODEV, `Cannot find device "${name}"`);
    return dev;
  }
}

const STATUS: Record<number, number> = {
  [ERRNO.ENOENT]: 404,
  [ERRNO.ESRCH]: 404,
  [ERRNO.ENODEV]: 404,
  [ERRNO.ENXIO]: 404,
  [ERRNO.EEXIST]: 409,
  [ERRNO.EBUSY]: 409,
  [ERRNO.EADDRINUSE]: 409,
};

/** What a service refused, with the errno and one sentence. */
export function refusal(errno: number, message: string): HttpException {
  const statusCode = STATUS[errno] ?? 400;
  return new HttpException(
    { statusCode, errno, error: errnoName(errno), strerror: errnoText(errno), message: message || errnoText(errno) },
    statusCode,
  );
}

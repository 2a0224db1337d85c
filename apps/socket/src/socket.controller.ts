import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { pb } from '@skbus/contracts';
import { sockDiagReply } from '@skbus/nest-kit';
import { ERRNO } from '@skbus/skb';
import { DoorsService } from './doors.service.ts';
import { SocketService } from './socket.service.ts';

/** `ctl.v1.<netns>.socket.*` */
@Controller()
export class SocketController {
  constructor(
    private readonly sockets: SocketService,
    private readonly doors: DoorsService,
  ) {}

  /** For `ss`: owner and queues of each socket; the transports know the rest by the same `sk`. */
  @MessagePattern('sock_diag')
  sockDiag(data: Uint8Array): Uint8Array {
    return sockDiagReply(data, (sk) => this.sockets.sockets().filter((s) => sk === 0 || s.sk === sk));
  }

  @MessagePattern('expose')
  async expose(data: Uint8Array): Promise<Uint8Array> {
    const r = pb.ExposeRequest.decode(data);
    const { ADD, DEL } = pb.ExposeRequest.Op;
    if (r.op === ADD || r.op === DEL) {
      if (r.port < 1 || r.port > 65_535) return refuse(ERRNO.EINVAL, `port ${r.port} is none: 1 to 65535`);
      if (r.op === DEL && !(await this.doors.unexpose(r.port)))
        return refuse(ERRNO.ENOENT, `port ${r.port} is not exposed`);
    }
    if (r.op === ADD) {
      if (r.targetHost === '') return refuse(ERRNO.EINVAL, 'the target host is empty');
      if (r.targetPort < 1 || r.targetPort > 65_535)
        return refuse(ERRNO.EINVAL, `target port ${r.targetPort} is none: 1 to 65535`);
      try {
        await this.doors.expose({ port: r.port, host: r.targetHost, targetPort: r.targetPort });
      } catch (e) {
        const { errno, message } = e as NodeJS.ErrnoException;
        return refuse(
          errno === undefined ? ERRNO.EIO : -errno,
          `port ${r.port} of the stack cannot be exposed: ${message}`,
        );
      }
    }
    const exposed = this.doors
      .list()
      .map((e) => ({ port: e.port, targetHost: e.host, targetPort: e.targetPort, connections: e.connections }));
    return pb.ExposeReply.encode({ errno: 0, exposed }).finish();
  }
}

const refuse = (errno: number, message: string): Uint8Array => pb.ExposeReply.encode({ errno, message }).finish();

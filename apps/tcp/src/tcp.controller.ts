import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { pb } from '@skbus/contracts';
import { sockDiagReply } from '@skbus/nest-kit';
import { TcpService } from './tcp.service.ts';

/** TCP's control verbs. */
@Controller()
export class TcpController {
  constructor(private readonly tcp: TcpService) {}

  @MessagePattern('sock_diag')
  sockDiag(data: Uint8Array): Uint8Array {
    return sockDiagReply(data, (sk) => this.tcp.sockets(sk));
  }

  @MessagePattern('sysctl')
  async sysctl(data: Uint8Array): Promise<Uint8Array> {
    const { name, value } = pb.SysctlRequest.decode(data);
    return pb.SysctlReply.encode(await this.tcp.sysctl(name, value)).finish();
  }
}

import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { pb } from '@skbus/contracts';
import { TcpService } from './tcp.service.ts';

/** TCP's control verbs. */
@Controller()
export class TcpController {
  constructor(private readonly tcp: TcpService) {}

  @MessagePattern('sock_diag')
  sockDiag(data: Uint8Array): Uint8Array {
    const { sk } = pb.SockDiagRequest.decode(data);
    return pb.SockDiagReply.encode({ json: JSON.stringify(this.tcp.sockets(sk)) }).finish();
  }

  @MessagePattern('sysctl')
  async sysctl(data: Uint8Array): Promise<Uint8Array> {
    const { name, value } = pb.SysctlRequest.decode(data);
    return pb.SysctlReply.encode(await this.tcp.sysctl(name, value)).finish();
  }
}

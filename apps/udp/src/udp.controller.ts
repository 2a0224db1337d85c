import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { pb } from '@skbus/contracts';
import { UdpService } from './udp.service.ts';

/** UDP's control verbs. */
@Controller()
export class UdpController {
  constructor(private readonly udp: UdpService) {}

  @MessagePattern('sock_diag')
  sockDiag(data: Uint8Array): Uint8Array {
    const { sk } = pb.SockDiagRequest.decode(data);
    return pb.SockDiagReply.encode({ json: JSON.stringify(this.udp.sockets(sk)) }).finish();
  }
}

import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { sockDiagReply } from '@skbus/nest-kit';
import { UdpService } from './udp.service.ts';

/** UDP's control verbs. */
@Controller()
export class UdpController {
  constructor(private readonly udp: UdpService) {}

  @MessagePattern('sock_diag')
  sockDiag(data: Uint8Array): Uint8Array {
    return sockDiagReply(data, (sk) => this.udp.sockets(sk));
  }
}

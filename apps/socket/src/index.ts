import type { LayerDefinition } from '@skbus/nest-kit';
import { DoorsService } from './doors.service.ts';
import { SocketController } from './socket.controller.ts';
import { SocketService } from './socket.service.ts';

/** The socket layer: BSD sockets for programs (struct socket), and the doors they come in by. */
export const definition: LayerDefinition = {
  layer: 'socket',
  providers: [SocketService, DoorsService],
  controllers: [SocketController],
};

import type { LayerDefinition } from '@skbus/nest-kit';
import { TcpController } from './tcp.controller.ts';
import { TcpService } from './tcp.service.ts';

export const definition: LayerDefinition = { layer: 'tcp', providers: [TcpService], controllers: [TcpController] };

import type { LayerDefinition } from '@skbus/nest-kit';
import { UdpController } from './udp.controller.ts';
import { UdpService } from './udp.service.ts';

export const definition: LayerDefinition = { layer: 'udp', providers: [UdpService], controllers: [UdpController] };

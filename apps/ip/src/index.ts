import type { LayerDefinition } from '@skbus/nest-kit';
import { IpController } from './ip.controller.ts';
import { IpService } from './ip.service.ts';

/** IPv4 with routing and ICMP. */
export const definition: LayerDefinition = { layer: 'ip', providers: [IpService], controllers: [IpController] };

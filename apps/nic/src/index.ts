import type { LayerDefinition } from '@skbus/nest-kit';
import { NicController } from './nic.controller.ts';
import { NicService } from './nic.service.ts';

/** Devices and drivers: `lo`, and `skb0` on a TAP, on UDP datagrams or on a cable of the bus. */
export const definition: LayerDefinition = { layer: 'nic', providers: [NicService], controllers: [NicController] };

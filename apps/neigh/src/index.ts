import type { LayerDefinition } from '@skbus/nest-kit';
import { NeighController } from './neigh.controller.ts';
import { NeighService } from './neigh.service.ts';

/** ARP and the neighbour table. */
export const definition: LayerDefinition = {
  layer: 'neigh',
  providers: [NeighService],
  controllers: [NeighController],
};

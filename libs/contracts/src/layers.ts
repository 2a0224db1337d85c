/** The services of one stack, bottom up, as they are started. */
export const LAYERS = ['nic', 'neigh', 'ip', 'udp', 'tcp', 'socket'] as const;
export type Layer = (typeof LAYERS)[number];

/** Everything that speaks on the bus. */
export type Service = Layer | 'orchestrator';

/** skb ids of a layer start here, so that ids of different services never meet (28 bits each before they wrap). */
export const firstSkbId = (layer: Layer): number => (LAYERS.indexOf(layer) + 1) * 0x1000_0000 + 1;

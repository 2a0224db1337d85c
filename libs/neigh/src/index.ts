export { NeighTable } from './neigh-table.ts';
export { NeighStats } from './neighbour.ts';
export { LEGAL_NUD, NUD_CONNECTED, NUD_IN_TIMER, NUD_VALID, isLegalNud, nudName } from './nud.ts';
export { NEIGH_DEFAULTS, type NeighSysctl } from './sysctl.ts';

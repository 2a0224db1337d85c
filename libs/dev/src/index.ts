export { buildSkb, ethTypeTrans, RX_COPYBREAK } from './eth.ts';
export { Gro } from './gro.ts';
export { checksumHelp, gsoSegment } from './gso.ts';
export { NetdevCore } from './netdev-core.ts';
export {
  flatStats,
  macOfAddress,
  newLinkStats,
  type Features,
  type LinkStats,
  type NetdevDriver,
  type PacketType,
  type RxMeta,
} from './netdevice.ts';

export { ProxyCollection } from './collection.ts';
export { ApiError } from './errors.ts';
export { ToxicLink } from './link.ts';
export type { ProxyView, World } from './proxy.ts';
export { SEAMS, type SeamRules } from './seam-proxy.ts';
export { serveToxiproxy, type ToxiproxyServer } from './server.ts';
export type { Toxic, ToxicType } from './toxics.ts';
export { realWorld } from './world.ts';

export { RouteCache, type Dst } from './route-cache.ts';

import {
  ERRNO,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RTN_BLACKHOLE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '@skbus/skb';

/** What a route type means for a lookup (net/ipv4/fib_semantics.c:fib_props). */
export interface FibProps {
  /** The errno a lookup that ends here gives; 0: the route is usable. */
  readonly error: number;
  /** The widest scope a route of this type may have. */
  readonly scope: number;
}

const PROPS: Readonly<Record<number, FibProps>> = {
  [RTN_UNICAST]: { error: 0, scope: RT_SCOPE_UNIVERSE },
  [RTN_LOCAL]: { error: 0, scope: RT_SCOPE_HOST },
  [RTN_BROADCAST]: { error: 0, scope: RT_SCOPE_LINK },
  [RTN_MULTICAST]: { error: 0, scope: RT_SCOPE_UNIVERSE },
  [RTN_BLACKHOLE]: { error: ERRNO.EINVAL, scope: RT_SCOPE_UNIVERSE },
  [RTN_UNREACHABLE]: { error: ERRNO.EHOSTUNREACH, scope: RT_SCOPE_UNIVERSE },
  [RTN_PROHIBIT]: { error: ERRNO.EACCES, scope: RT_SCOPE_UNIVERSE },
};

/** `undefined`: a type we have no routes of. */
export function fibProps(type: number): FibProps | undefined {
  return PROPS[type];
}

/**
 * The scope iproute2 gives a new route when the user names none: an address of our own is ours alone, what has no
 * gateway is on the link, everything else is somewhere in the universe.
 */
export function defaultScope(type: number, gateway: number): number {
  if (type === RTN_LOCAL) return RT_SCOPE_HOST;
  if (type === RTN_BROADCAST || type === RTN_MULTICAST) return RT_SCOPE_LINK;
  if (type === RTN_UNICAST && gateway === 0) return RT_SCOPE_LINK;
  return RT_SCOPE_UNIVERSE;
}

/** For delRoute(): any scope. */
export const ANY_SCOPE = RT_SCOPE_NOWHERE;

/** IPv4 option kinds (RFC 791 3.1, include/uapi/linux/ip.h). */
const IPOPT_END = 0;
const IPOPT_NOOP = 1;
const IPOPT_RR = 7;
const IPOPT_TIMESTAMP = 68;
const IPOPT_CIPSO = 134;
const IPOPT_LSRR = 131;
const IPOPT_SSRR = 137;
const IPOPT_RA = 148;

export interface IpOptions {
  /** A source route is there, loose or strict. */
  sourceRoute: boolean;
  strict: boolean;
  routerAlert: boolean;
}

/** Offset from the start of the IP header of the byte that is wrong, for a parameter problem. */
export interface IpOptionError {
  badAt: number;
}

const NONE: IpOptions = { sourceRoute: false, strict: false, routerAlert: false };

/** Walks the options of the header at `at` (net/ipv4/ip_options.c:__ip_options_compile). */
export function parseIpOptions(b: Uint8Array, at: number, hlen: number): IpOptions | IpOptionError {
  const o = { ...NONE };
  const seen = new Set<number>();
  const end = at + hlen;
  let i = at + 20;
  while (i < end) {
    const kind = b[i]!;
    if (kind === IPOPT_END) break;
    if (kind === IPOPT_NOOP) {
      i++;
      continue;
    }
    const len = i + 1 < end ? b[i + 1]! : 0;
    if (len < 2 || i + len > end) return { badAt: i - at };
    const bad = checkOption(o, seen, b, i, kind, len);
    if (bad !== undefined) return { badAt: bad - at };
    i += len;
  }
  return o;
}

function checkOption(
  o: IpOptions,
  seen: Set<number>,
  b: Uint8Array,
  i: number,
  kind: number,
  len: number,
): number | undefined {
  switch (kind) {
    case IPOPT_SSRR:
    case IPOPT_LSRR:
      // one source route only, with a pointer that points behind the three bytes in front
      if (len < 3) return i + 1;
      if (b[i + 2]! < 4) return i + 2;
      if (o.sourceRoute) return i;
      o.sourceRoute = true;
      o.strict = kind === IPOPT_SSRR;
      return undefined;
    case IPOPT_RR:
      if (seen.has(kind)) return i;
      if (len < 3) return i + 1;
      if (b[i + 2]! < 4) return i + 2;
      if (b[i + 2]! <= len && b[i + 2]! + 3 > len) return i + 2;
      break;
    case IPOPT_TIMESTAMP:
      if (seen.has(kind)) return i;
      if (len < 4) return i + 1;
      if (b[i + 2]! < 5) return i + 2;
      break;
    case IPOPT_RA:
      if (len < 4) return i + 1;
      if (b[i + 2] === 0 && b[i + 3] === 0) o.routerAlert = true;
      break;
    case IPOPT_CIPSO:
      if (seen.has(kind)) return i;
      break;
    default: // RFC 1122 3.2.1.8: an option we don't know is skipped
      break;
  }
  seen.add(kind);
  return undefined;
}

/**
 * The options of the second and later fragments, in place (net/ipv4/ip_options.c:ip_options_fragment): those without the
 * "copied" bit become no-ops, so that the header keeps its length.
 */
export function blankUncopiedOptions(b: Uint8Array, at: number, hlen: number): void {
  const end = at + hlen;
  let i = at + 20;
  while (i < end) {
    const kind = b[i]!;
    if (kind === IPOPT_END) return;
    if (kind === IPOPT_NOOP) {
      i++;
      continue;
    }
    const len = i + 1 < end ? b[i + 1]! : 0;
    if (len < 2 || i + len > end) return;
    if ((kind & 0x80) === 0) b.fill(IPOPT_NOOP, i, i + len);
    i += len;
  }
}

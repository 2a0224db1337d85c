import type { Script, ScriptOption, Us } from '../lang/ast.ts';
import { ScriptError } from '../lang/error.ts';
import type { ScriptAddresses } from '../target.ts';

/** How a script is run: packetdrill's defaults, then the script's own options, then the caller's. */
export interface RunConfig {
  toleranceUs: Us;
  /** The MSS of the remote host; 0: not given. */
  mss: number;
  mtu: number;
  localIp: string;
  remoteIp: string;
  gatewayIp: string;
  prefixLen: number;
  bindPort: number;
  connectPort: number;
  /** How fast the stack's timestamp clock ticks; 0: its values are not checked. */
  tsTickUs: Us;
  /** Commands before the script (--init_scripts). */
  initScripts: string[];
  /** Failures of these kinds do not end the script (--non_fatal=packet,syscall). */
  nonFatal: Set<string>;
  /** Options that say something about packetdrill's own machinery and were skipped. */
  notes: string[];
}

const DEFAULTS: Omit<RunConfig, 'initScripts' | 'nonFatal' | 'notes'> = {
  toleranceUs: 4000,
  mss: 0,
  mtu: 1500,
  localIp: '192.168.0.1',
  remoteIp: '192.0.2.1',
  gatewayIp: '192.168.0.2',
  prefixLen: 16,
  bindPort: 8080,
  connectPort: 8080,
  tsTickUs: 0,
};

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
/** Options of the original that have nothing to say here. */
const IGNORED =
  /^(?:wire_\w+|speed|code_command|code_format|code_sockopt|debug|dry_run|verbose|persistent_tun_dev|tun_driver|so_filename|so_flags|no_tun|use_expect|is_anyip|send_omit_free|tcp_ts_ecr_scaled|stress\w*|udp_encaps|local_dev|no_cleanup)$/;

/** A script that sets the key of Fast Open has cookies written down, and these are a hash of the usual addresses. */
const knowsCookies = (s: Script): boolean => s.init?.text.includes('tcp_fastopen_key') ?? false;

/** `addresses`: the target's own, where the script names none. */
export function configOf(script: Script, addresses?: ScriptAddresses): RunConfig {
  const named = script.options.some((o) => Object.hasOwn(ADDRESSES, o.name)) || knowsCookies(script);
  const c: RunConfig = { ...DEFAULTS, ...(named ? {} : addresses), initScripts: [], nonFatal: new Set(), notes: [] };
  for (const o of script.options) {
    const problem = apply(c, o);
    if (problem !== undefined) throw new ScriptError(script.file, o, `--${o.name}: ${problem}`);
  }
  return c;
}

const NUMBERS: Readonly<Record<string, (c: RunConfig, n: number) => void>> = {
  tolerance_usecs: (c, n) => (c.toleranceUs = n),
  mss: (c, n) => (c.mss = n),
  mtu: (c, n) => (c.mtu = n),
  bind_port: (c, n) => (c.bindPort = n),
  connect_port: (c, n) => (c.connectPort = n),
  tcp_ts_tick_usecs: (c, n) => (c.tsTickUs = n),
};

const ADDRESSES: Readonly<Record<string, 'localIp' | 'remoteIp' | 'gatewayIp'>> = {
  local_ip: 'localIp',
  remote_ip: 'remoteIp',
  gateway_ip: 'gatewayIp',
};

/** What is wrong with the option; undefined: nothing. */
function apply(c: RunConfig, { name, value }: ScriptOption): string | undefined {
  const set = NUMBERS[name];
  if (set !== undefined) {
    if (value === undefined || !/^\d+$/.test(value)) return 'expected a number';
    set(c, Number(value));
    return undefined;
  }
  const address = ADDRESSES[name];
  if (address !== undefined) {
    if (value === undefined || !IPV4.test(value)) return notIpv4(value);
    c[address] = value;
    return undefined;
  }
  switch (name) {
    case 'ip_version':
      return value === 'ipv4' ? undefined : notIpv4(value);
    case 'netmask_ip': {
      const len = prefixOf(value ?? '');
      if (len === undefined) return 'expected a netmask such as 255.255.0.0';
      c.prefixLen = len;
      return undefined;
    }
    case 'init_scripts':
      c.initScripts.push(...(value ?? '').split(',').filter((s) => s !== ''));
      return undefined;
    case 'non_fatal':
      for (const kind of (value ?? '').split(',')) c.nonFatal.add(kind);
      return undefined;
    case 'define':
    case 'D':
      return undefined;
    default:
      if (!IGNORED.test(name)) return 'unknown option';
      c.notes.push(`--${name} has no meaning here and was ignored`);
      return undefined;
  }
}

function notIpv4(value: string | undefined): string {
  if (value === undefined || /ipv6|:/.test(value)) return 'IPv6 is not supported yet';
  return `expected IPv4, found '${value}'`;
}

function prefixOf(mask: string): number | undefined {
  const m = IPV4.exec(mask);
  if (m === null) return undefined;
  const bits = m
    .slice(1)
    .map((b) => Number(b).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(bits) && bits.length === 32 ? bits.replace(/0/g, '').length : undefined;
}

/** ICMP's types and codes by packetdrill's names. */
export const ICMP_TYPES: Readonly<Record<string, number>> = {
  echo_reply: 0,
  unreachable: 3,
  source_quench: 4,
  redirect: 5,
  echo_request: 8,
  time_exceeded: 11,
  parameter_problem: 12,
};

const UNREACHABLE: readonly string[] = [
  'net_unreachable',
  'host_unreachable',
  'protocol_unreachable',
  'port_unreachable',
  'frag_needed',
  'source_route_failed',
  'net_unknown',
  'host_unknown',
  'source_host_isolated',
  'net_prohibited',
  'host_prohibited',
  'net_unreachable_for_tos',
  'host_unreachable_for_tos',
  'packet_filtered',
  'precedence_violation',
  'precedence_cutoff',
];

const CODES: Readonly<Record<number, readonly string[]>> = {
  3: UNREACHABLE,
  5: ['net', 'host', 'tos_net', 'tos_host'],
  11: ['ttl_exceeded', 'reassembly_time_exceeded'],
  12: ['pointer', 'missing_option', 'bad_length'],
};

/** A code's name, `code_7`, or a plain number. */
export function icmpCode(type: number, name: string | undefined): number | undefined {
  if (name === undefined) return 0;
  const known = CODES[type]?.indexOf(name) ?? -1;
  if (known >= 0) return known;
  const m = /^(?:code_)?(\d+)$/.exec(name);
  return m === null ? undefined : Number(m[1]);
}

export function icmpTypeName(type: number): string {
  return Object.keys(ICMP_TYPES).find((n) => ICMP_TYPES[n] === type) ?? `type_${type}`;
}

export function icmpCodeName(type: number, code: number): string | undefined {
  return CODES[type]?.[code] ?? (code === 0 ? undefined : `code_${code}`);
}

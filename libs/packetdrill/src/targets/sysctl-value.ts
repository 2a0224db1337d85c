/** `net.ipv4.tcp_syn_retries` → `tcpSynRetries`. */
export function camelName(name: string): string {
  return name
    .replace(/^net\.(?:ipv4|core)\./, '')
    .replace(/^conf\.(?:all|default|tun0|\*)\./, '')
    .replaceAll(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
}

/** The text as a value of the same type as the one there is; undefined: it cannot be one. */
export function sysctlValue(like: unknown, text: string): unknown {
  if (typeof like === 'boolean') return integer(text) === undefined ? undefined : integer(text) !== 0;
  if (typeof like === 'number') return integer(text);
  if (typeof like === 'string') return text;
  if (!Array.isArray(like)) return undefined;
  const parts = text.split(/[\s,]+/).map(integer);
  return parts.length === like.length && parts.every((p) => p !== undefined) ? parts : undefined;
}

function integer(text: string): number | undefined {
  return /^(?:-?\d+|0[xX][0-9a-fA-F]+)$/.test(text) ? Number(text) : undefined;
}

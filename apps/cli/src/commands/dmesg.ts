import { formatDmesg } from '@skbus/boot';
import { Api } from '../api-client.ts';
import { print, printJson } from '../output.ts';

interface Row {
  seq: number;
  ms: number;
  layer: string;
  text: string;
}

export async function dmesg(o: { stack?: string; follow?: boolean; json?: boolean }): Promise<void> {
  const api = new Api(o.stack);
  if (!o.follow) {
    const rows = await api.get<Row[]>('/dmesg');
    if (o.json) printJson(rows);
    else for (const r of rows) print(formatDmesg(r));
    return;
  }
  const stop = new AbortController();
  for (const sig of ['SIGINT', 'SIGTERM'] as const) process.once(sig, () => stop.abort());
  await api.lines('/dmesg?follow=1', (row) => (o.json ? printJson(row) : showDmesg(row)), stop.signal);
}

export function showDmesg(row: unknown): void {
  const r = row as Row | { lost: number };
  print('lost' in r ? `… ${r.lost} lines lost` : formatDmesg(r));
}

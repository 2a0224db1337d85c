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
  await api.lines(
    '/dmesg?follow=1',
    (row) => (o.json ? printJson(row) : show(row as Row | { lost: number })),
    stop.signal,
  );
}

function show(row: Row | { lost: number }): void {
  print('lost' in row ? `… ${row.lost} lines lost` : formatDmesg(row));
}

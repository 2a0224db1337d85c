import { Api } from '../api-client.ts';
import { UsageError } from '../errors.ts';
import { hostPort, intOption } from '../options.ts';
import { print, printJson, table } from '../output.ts';

interface Exposed {
  port: number;
  host: string;
  targetPort: number;
  connections: number;
}

export async function expose(
  port: string | undefined,
  target: string | undefined,
  o: { stack?: string; json?: boolean; rm?: boolean },
): Promise<void> {
  const rows = await run(port, target, o);
  if (o.json) printJson(rows);
  else if (port === undefined) {
    const cells = rows.map((e) => [String(e.port), `${e.host}:${e.targetPort}`, String(e.connections)]);
    for (const line of table([['PORT', 'TARGET', 'CONNECTIONS'], ...cells])) print(line);
  }
}

function run(
  port: string | undefined,
  target: string | undefined,
  o: { stack?: string; rm?: boolean },
): Promise<Exposed[]> {
  if (port === undefined) {
    if (o.rm) throw new UsageError('expose --rm: which port?');
    return new Api(o.stack).get<Exposed[]>('/expose');
  }
  const n = intOption('PORT', port, 1, 65_535);
  if (o.rm) return new Api(o.stack).send<Exposed[]>('DELETE', `/expose/${n}`);
  if (target === undefined)
    throw new UsageError(`expose ${port}: where to? expected host:port, such as 127.0.0.1:8080`);
  const to = hostPort('HOST:PORT', target);
  return new Api(o.stack).send<Exposed[]>('POST', '/expose', { port: n, host: to.host, targetPort: to.port });
}

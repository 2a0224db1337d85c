import { Api } from '../api-client.ts';
import { print, printJson } from '../output.ts';

export async function sysctl(word: string | undefined, o: { stack?: string; json?: boolean }): Promise<void> {
  const api = new Api(o.stack);
  const eq = word?.indexOf('=') ?? -1;
  const values =
    word !== undefined && eq > 0
      ? await api.send<Record<string, string>>('PUT', '/sysctl', {
          name: word.slice(0, eq).trim(),
          value: word.slice(eq + 1).trim(),
        })
      : await api.get<Record<string, string>>(`/sysctl?name=${encodeURIComponent(word ?? '')}`);
  if (o.json) printJson(values);
  else for (const [name, value] of Object.entries(values)) print(`${name} = ${value}`);
}

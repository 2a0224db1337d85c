/** The control API of a running stack: what `skbus ip`, `skbus sysctl` and `skbus nstat` use. */
export class ControlApi {
  private readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  get<T>(path: string): Promise<T> {
    return this.call('GET', path, undefined) as Promise<T>;
  }

  async send(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: object): Promise<void> {
    await this.call(method, path, body);
  }

  private async call(method: string, path: string, body: object | undefined): Promise<unknown> {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { 'content-type': 'application/json' };
    const res = await fetch(new URL(path, this.url), { method, headers, ...init });
    const answer = (await res.json()) as { message?: string | string[] };
    if (!res.ok) throw new Error([answer.message ?? `${method} ${path}: ${res.status}`].flat().join('; '));
    return answer;
  }
}

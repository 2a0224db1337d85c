import type { Server } from 'node:net';

/** listen() as a promise; what fails is one sentence that says what to do. */
export function listenOn(server: Server, port: number, host: string, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (e: NodeJS.ErrnoException): void => {
      const why = e.code === 'EADDRINUSE' ? `port ${port} on ${host} is in use` : e.message;
      reject(new Error(`${what}: ${why}; free it or choose another port`));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.removeListener('error', failed);
      server.on('error', () => {});
      resolve();
    });
  });
}

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { demoBytes } from './bytes.ts';
import { pump } from './pump.ts';

const BYTES_MAX = 1e12;

const HELLO = `This is skbus: a TCP/IP stack whose layers are processes of their own.

Every byte of this page went through them: socket, tcp, ip, neigh, nic, and the same way up in between.

  /bytes/N          N bytes that can be made again: byte i is (j*131 + (j>>8)*17) & 255 with j = i & 65535
  /sink             POST or PUT anything; answers {"bytes": how many, "sha256": their hash}

Other ports: 7 echo (TCP and UDP), 9 discard, 13 daytime, 19 chargen.
`;

/** The web pages of the demo; it does not care what kind of sockets they go over. */
export function createDemoHttp(): Server {
  const server = createServer(route);
  // A reader may be as slow as it likes: that is one of the things to be seen here.
  server.requestTimeout = 0;
  server.headersTimeout = 60_000;
  return server;
}

function route(req: IncomingMessage, res: ServerResponse): void {
  const path = (req.url ?? '/').replace(/\?.*$/, '');
  const bytes = /^\/bytes\/([^/]*)$/.exec(path);
  if (path === '/sink') {
    if (req.method === 'POST' || req.method === 'PUT') sink(req, res);
    else refuse(req, res, 405, 'POST or PUT something here', 'POST, PUT');
  } else if (req.method !== 'GET' && req.method !== 'HEAD') refuse(req, res, 405, 'only GET here', 'GET, HEAD');
  else if (path === '/') text(req, res, 200, HELLO);
  else if (bytes !== null) sendBytes(req, res, bytes[1]!);
  else refuse(req, res, 404, `there is no ${path}; try /`);
}

function sendBytes(req: IncomingMessage, res: ServerResponse, count: string): void {
  const n = Number(count);
  if (!/^\d{1,13}$/.test(count) || n > BYTES_MAX)
    return refuse(req, res, 400, `/bytes/N wants N from 0 to ${BYTES_MAX}`);
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': n });
  if (req.method === 'HEAD') res.end();
  else pump(res, demoBytes(n));
}

function sink(req: IncomingMessage, res: ServerResponse): void {
  const hash = createHash('sha256');
  let bytes = 0;
  req.on('data', (d: Buffer) => {
    bytes += d.length;
    hash.update(d);
  });
  req.on('end', () => {
    const body = `${JSON.stringify({ bytes, sha256: hash.digest('hex') })}\n`;
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    res.end(body);
  });
}

function refuse(req: IncomingMessage, res: ServerResponse, status: number, why: string, allow?: string): void {
  if (allow !== undefined) res.setHeader('allow', allow);
  text(req, res, status, `${why}\n`);
}

function text(req: IncomingMessage, res: ServerResponse, status: number, body: string): void {
  req.resume();
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(body) });
  res.end(req.method === 'HEAD' ? undefined : body);
}

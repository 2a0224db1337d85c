// What the stack's demo program serves, on the kernel's sockets: echo on port 7 and a page on port 80.
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

const echo = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
});
const page = createHttpServer((_request, response) => {
  response.end('the kernel\n');
});
echo.listen(7, () => page.listen(80, () => process.stdout.write('ready\n')));

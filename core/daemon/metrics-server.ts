/**
 * The pages that both daemons serve over HTTP: `/metrics` in the Prometheus text format, `/livez` and `/readyz` for
 * whoever supervises them. All are read-only and say nothing secret; where they listen is the operator's choice.
 */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface MetricsServer extends AsyncDisposable {
  readonly port: number;
}

export interface MetricsServerOptions {
  readonly registry: Registry;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Why the daemon cannot do its work, a sentence each; none: it can. */
  readonly unready: () => readonly string[];
}

/**
 * Listens until disposed. Rejects with the error of listen(2). `/livez` answers 200 as long as the process's loop turns:
 * a daemon that does not answer hangs, and is to be started anew. `/readyz` answers 200, or 503 with the reasons: it is
 * alive, and to be left alone, but nothing should be sent its way.
 */
export async function serveMetrics({ registry, host, port, unready }: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const page = request.method === 'GET' ? request.url : undefined;
    switch (page) {
      case '/metrics':
        registry.metrics().then(
          (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
          (error: unknown) => response.writeHead(500).end(`${String(error)}\n`),
        );
        break;
      case '/livez':
        say(response, 200, ['ok']);
        break;
      case '/readyz': {
        const reasons = unready();
        if (reasons.length === 0) say(response, 200, ['ok']);
        else say(response, 503, reasons);
        break;
      }
      default:
        say(response, 404, ['only GET /metrics, /livez and /readyz are served here']);
    }
  });
  server.listen({ host, port });
  await once(server, 'listening');
  const { port: bound } = server.address() as AddressInfo;
  return {
    port: bound,
    [Symbol.asyncDispose]: async () => {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function say(response: ServerResponse, status: number, lines: readonly string[]): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${lines.join('\n')}\n`);
}

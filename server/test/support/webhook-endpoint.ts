import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { eventually } from '../../../test/support/wait.ts';

export const webhookSecret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

export interface Received {
  id: string;
  type: string;
  timestamp: string;
  data: Record<string, unknown> & { id: string; sub: string };
}

/** A receiver of webhooks, which verifies them with the library of Standard Webhooks. */
export class WebhookEndpoint {
  readonly received: Received[] = [];
  /** Why requests were not accepted. */
  readonly problems: unknown[] = [];
  /** Answers in its place; what it answers is not in `received`. */
  trouble: ((response: ServerResponse) => void) | undefined;
  asked = 0;
  url = '';

  static async start(t: TestContext, secret = webhookSecret): Promise<WebhookEndpoint> {
    const endpoint = new WebhookEndpoint();
    const verifier = new Webhook(secret);
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        endpoint.asked += 1;
        try {
          const headers = request.headers as Record<string, string>;
          const event = verifier.verify(body, headers) as Omit<Received, 'id'>;
          if (endpoint.trouble) return endpoint.trouble(response);
          endpoint.received.push({ id: headers['webhook-id'] ?? '', ...event });
          response.writeHead(204).end();
        } catch (error) {
          endpoint.problems.push(error);
          response.writeHead(401).end();
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    endpoint.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks?key=hunter2`;
    return endpoint;
  }

  get env(): Record<string, string> {
    return { WEBHOOK_URL: this.url, WEBHOOK_SECRET: webhookSecret };
  }

  /** `peer.online ada`, in the order of their arrival. */
  get steps(): string[] {
    return this.received.map(({ type, data }) => `${type} ${data.sub}`);
  }

  async until(count: number): Promise<Received[]> {
    await eventually(() => this.received.length >= count, 30_000);
    return this.received;
  }
}

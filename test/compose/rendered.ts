import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stack } from './stack.ts';

interface Published {
  published: string;
  target: number;
  protocol: string;
  host_ip: string;
}
interface Rendered {
  services: Record<string, { environment?: Record<string, string>; ports?: Published[] }>;
}

const production = { DOMAIN: 'relay.example', HTTP_PORT: '80', HTTPS_PORT: '443', BIND: '192.0.2.10' };
const second = { ...production, TURN_HOST: 'turn.relay.example', TURN_BIND: '192.0.2.11' };

/** What Compose makes of docker-compose.yml and the files beside it, without starting anything. */
export function rendered(stack: Stack): void {
  const files: [string, Record<string, string>, where: string][] = [
    ['docker-compose.yml', production, '192.0.2.10:5349'],
    ['docker-compose.yml:deploy/turn-443.yml', second, '192.0.2.10:443'],
    ['docker-compose.yml:deploy/turn-second-address.yml', second, '192.0.2.11:443'],
  ];
  for (const [file, settings, where] of files) {
    test(`${file}: no port is published twice, and TURN over TLS is at ${where}`, async () => {
      stack.settings = { ...settings, COMPOSE_FILE: file };
      const { services } = JSON.parse(await stack.compose('config', '--format', 'json')) as Rendered;
      stack.settings = { DRAIN_WINDOW_MS: '1000' };
      const ports = Object.entries(services).flatMap(([service, { ports: own = [] }]) =>
        own.map((port) => ({ service, ...port })),
      );
      const places = ports.map(({ host_ip, published, protocol }) => `${host_ip}:${published}/${protocol}`);
      assert.deepEqual(places, [...new Set(places)]);
      const name = settings['TURN_HOST'] ?? settings['DOMAIN'] ?? '';
      const [, port = ''] = where.split(':');
      const urls = services['relay']?.environment?.['TURN_URLS']?.split(',') ?? [];
      assert.ok(urls.includes(`turns:${name}:${port}?transport=tcp`), urls.join());
      const tls = ports.find(({ host_ip, published }) => `${host_ip}:${published}` === where);
      assert.equal(tls?.target, file.includes('turn-443') ? 443 : 5349);
      assert.equal(tls?.service, file.includes('turn-443') ? 'sni' : 'coturn');
      // The rest of TURN is at the same address.
      const [address = ''] = where.split(':');
      for (const transport of ['udp', 'tcp']) assert.ok(places.includes(`${address}:3478/${transport}`));
      // A certificate for the name is asked for at port 80 of its address.
      assert.ok(places.includes(`${address}:80/tcp`));
      assert.ok(services['caddy']?.environment?.['DOMAIN']?.split(', ').includes(name));
    });
  }
}

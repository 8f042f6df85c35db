import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test, type TestContext } from 'node:test';
import { AgentCard, Message, Role, SendMessageRequest } from '@a2a-js/sdk';
import { ClientFactory, ServiceParameters, withA2AExtensions } from '@a2a-js/sdk/client';
import { AgentEvent, type AgentExecutor, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import { createSecret, listen, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import {
  type A2AAttributes,
  A2ASignaling,
  agentExtension,
  extensionAlias,
  extensionUri,
  invitationAttributes,
  readExtension,
  readInvitation,
  requestedUri,
} from 'mcp-rendezvous/a2a';
import { createInvitation } from 'mcp-rendezvous/token';
import { serveA2A } from '../../examples/a2a/http.ts';
import { type RunningApp, startApp } from '../../server/test/support/app.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { within } from '../support/wait.ts';
import { ask, serveWritten, uri, type WrittenMessage, WrittenSignaling, written } from './by-document.ts';

// Two implementations of docs/guides/a2a.md meet: this project's, and one of JSON written by hand.

const newServer = () => new McpServer({ name: 'notes', version: '1.0.0' });

function newClient(t: TestContext): Client {
  const client = new Client({ name: 'agent', version: '1.0.0' });
  t.after(() => client.close());
  return client;
}

const messageOf = (role: Role, text: string, attributes?: A2AAttributes): Message => ({
  ...Message.fromJSON({ messageId: crypto.randomUUID(), parts: [{ text }] }),
  role,
  ...attributes,
});

const textOf = ({ parts }: Message): string =>
  parts.map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');

/** An agent with A2A's SDK; its card is complete when it is asked for. */
async function serve(t: TestContext, extensions: AgentCard['capabilities'], execute: AgentExecutor['execute']) {
  const card = AgentCard.fromJSON({ name: 'Agent', version: '1.0.0' });
  card.capabilities = extensions;
  const executor: AgentExecutor = { execute, cancelTask: async () => {} };
  const server = serveA2A(new DefaultRequestHandler(card, new InMemoryTaskStore(), executor));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const binding = { protocolBinding: 'JSONRPC', tenant: '', protocolVersion: '1.0' };
  card.supportedInterfaces.push({ url: `${address}/a2a`, ...binding });
  return address;
}

/** An agent of this project: it takes offers and invitations of whoever asks. */
async function serveAgent(t: TestContext) {
  const client = newClient(t);
  const connected = Promise.withResolvers<void>();
  const capabilities = {
    streaming: true,
    extensions: [agentExtension({ offers: true, invitations: true })],
  };
  const { capabilities: complete } = AgentCard.fromJSON({ capabilities });
  const address = await serve(t, complete, async ({ userMessage, context }, bus) => {
    const activated = requestedUri(context.requestedExtensions);
    if (activated) context.addActivatedExtension(activated);
    const invitation = readInvitation(userMessage);
    if (invitation) {
      await client.connect(new WebRTCClientTransport(invitation));
      connected.resolve();
      bus.publish(AgentEvent.message(messageOf(Role.ROLE_AGENT, 'Thank you')));
    } else {
      const answer = Promise.withResolvers<A2AAttributes>();
      const signaling = new A2ASignaling(answer.resolve);
      signaling.accept(userMessage);
      client.connect(new WebRTCClientTransport({ signaling })).then(connected.resolve, connected.reject);
      bus.publish(AgentEvent.message(messageOf(Role.ROLE_AGENT, 'Reading', await answer.promise)));
    }
  });
  return { address, client, connected: connected.promise };
}

const offerSignal = { kind: 'offer', gen: 1, body: { sdp: 'v=0' } };

/** Whom a written desktop may send an offer or an invitation. */
async function paramsOf(agent: string): Promise<{ offers: boolean; invitations: boolean } | undefined> {
  const card = (await (await fetch(`${agent}/.well-known/agent-card.json`)).json()) as {
    capabilities: { extensions?: { uri: string; params: { offers: boolean; invitations: boolean } }[] };
  };
  return card.capabilities.extensions?.find((extension) => extension.uri === uri)?.params;
}

test('an offer of a desktop that knows only the document, to an agent of this project', async (t) => {
  const { address, client, connected } = await serveAgent(t);
  assert.equal((await paramsOf(address))?.offers, true);
  const signaling = new WrittenSignaling(async (signal) => {
    const response = await ask(address, written('ROLE_USER', 'What are my notes about?', { signal }));
    assert.equal(response.headers.get('A2A-Extensions'), uri);
    const { result } = (await response.json()) as { result: { message: WrittenMessage } };
    assert.deepEqual(result.message.extensions, [uri]);
    signaling.receive(result.message.metadata![uri]!.signal!);
  });
  const server = newServer();
  t.after(() => server.close());
  await within(server.connect(new WebRTCServerTransport({ signaling })), 'the desktop connects');
  await within(connected, 'the agent connects');
  assert.equal(client.getServerVersion()?.name, 'notes');
});

test('an offer of a desktop of this project, to an agent that knows only the document', async (t) => {
  const client = newClient(t);
  const requests: IncomingHttpHeaders[] = [];
  let connected: Promise<void> | undefined;
  const params = { offers: true, invitations: false };
  const address = await serveWritten(t, params, async (message, headers) => {
    requests.push(headers);
    const { promise, resolve } = Promise.withResolvers<WrittenMessage>();
    const signaling = new WrittenSignaling((signal) => resolve(written('ROLE_AGENT', 'Reading', { signal })));
    connected = client.connect(new WebRTCClientTransport({ signaling }));
    // A transport listens once it has started its signaling.
    await new Promise(setImmediate);
    signaling.receive(message.metadata![uri]!.signal!);
    return await promise;
  });
  const agent = await new ClientFactory().createFromUrl(address);
  const extension = readExtension(await agent.getAgentCard());
  assert.deepEqual(extension, { uri, ...params });
  const server = newServer();
  t.after(() => server.close());
  const signaling = new A2ASignaling((offer) =>
    agent.sendMessage(
      { ...SendMessageRequest.fromJSON({}), message: messageOf(Role.ROLE_USER, 'What are my notes about?', offer) },
      { serviceParameters: ServiceParameters.create(withA2AExtensions(extension.uri)) },
    ),
  );
  await within(server.connect(new WebRTCServerTransport({ signaling })), 'the desktop connects');
  await within(connected!, 'the agent connects');
  assert.equal(client.getServerVersion()?.name, 'notes');
  assert.deepEqual(
    requests.map((headers) => headers['a2a-extensions']),
    [extensionUri],
  );
});

void suite('an invitation', () => {
  let app: RunningApp;
  before(async () => {
    app = await startApp(undefined);
  });
  after(() => app.close());

  async function invite(t: TestContext, room: string) {
    const token = await testToken({ room, role: 'server', invite: 3600 });
    const own = createInvitation({ relay: app.url, token, secret: createSecret() });
    const listener = await listen({ invitation: own }, (transport) => newServer().connect(transport));
    t.after(() => listener.close());
    return await listener.invite({ once: true, ttl: 600 });
  }

  test('of a desktop that knows only the document, to an agent of this project', async (t) => {
    const { address, client, connected } = await serveAgent(t);
    assert.equal((await paramsOf(address))?.invitations, true);
    const { invitation } = await invite(t, 'written desktop');
    const message = written('ROLE_USER', 'What are my notes about?', { invitations: { default: invitation } });
    assert.equal((await ask(address, message)).status, 200);
    await within(connected, 'the agent connects');
    assert.equal(client.getServerVersion()?.name, 'notes');
  });

  test('of a desktop of this project, to an agent that knows only the document', async (t) => {
    const client = newClient(t);
    const address = await serveWritten(t, { offers: false, invitations: true }, async ({ metadata }) => {
      const invitation = metadata![uri]!.invitations!['default']!;
      await client.connect(new WebRTCClientTransport({ invitation }));
      return written('ROLE_AGENT', 'Thank you', {});
    });
    const agent = await new ClientFactory().createFromUrl(address);
    const attributes = invitationAttributes({ default: await invite(t, 'written agent') });
    const message = messageOf(Role.ROLE_USER, 'What are my notes about?', attributes);
    await within(agent.sendMessage({ ...SendMessageRequest.fromJSON({}), message }), 'the agent replies');
    assert.equal(client.getServerVersion()?.name, 'notes');
  });
});

test('an agent that does not know the extension is not disturbed, and the desktop learns of it', async (t) => {
  const seen: string[] = [];
  const { capabilities } = AgentCard.fromJSON({ capabilities: {} });
  const address = await serve(t, capabilities, async ({ userMessage }, bus) => {
    seen.push(textOf(userMessage));
    bus.publish(AgentEvent.message(messageOf(Role.ROLE_AGENT, 'About a boat')));
  });
  const agent = await new ClientFactory().createFromUrl(address);
  assert.equal(readExtension(await agent.getAgentCard()), undefined);
  const heard: string[] = [];
  const signaling = new A2ASignaling(async (offer) => {
    const reply = await agent.sendMessage(
      { ...SendMessageRequest.fromJSON({}), message: messageOf(Role.ROLE_USER, 'What are my notes about?', offer) },
      { serviceParameters: ServiceParameters.create(withA2AExtensions(extensionUri)) },
    );
    if ('parts' in reply) heard.push(textOf(reply));
    return reply;
  });
  await signaling.start('offerer');
  await assert.rejects(signaling.send({ kind: 'offer', gen: 1, sdp: 'v=0' }), { code: 'bad_signal' });
  assert.deepEqual([seen, heard], [['What are my notes about?'], ['About a boat']]);
  const response = await ask(address, written('ROLE_USER', 'And now?', { signal: offerSignal }));
  assert.equal(response.headers.get('A2A-Extensions'), null);
});

test('the header of a request comes back in the answer, of a stream and by its older name, too', async (t) => {
  const { capabilities } = AgentCard.fromJSON({
    capabilities: {
      streaming: true,
      extensions: [agentExtension({ offers: true, invitations: false }), { uri: extensionAlias }],
    },
  });
  const address = await serve(t, capabilities, async ({ context }, bus) => {
    const activated = requestedUri(context.requestedExtensions);
    if (activated) context.addActivatedExtension(activated);
    bus.publish(AgentEvent.message(messageOf(Role.ROLE_AGENT, 'Hello')));
  });
  for (const method of ['SendMessage', 'SendStreamingMessage']) {
    for (const header of ['A2A-Extensions', 'X-A2A-Extensions']) {
      for (const value of [uri, extensionAlias]) {
        const response = await ask(address, written('ROLE_USER', 'Hello', {}), { method, header, value });
        assert.equal(response.headers.get(header), value, `${method}, ${header}`);
        assert.match(await response.text(), /Hello/);
      }
    }
    const others = await ask(address, written('ROLE_USER', 'Hello', {}), { method, value: 'https://other.example' });
    assert.equal(others.headers.get('A2A-Extensions'), null);
    await others.text();
  }
});

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { AgentCard, Message, Task } from '@a2a-js/sdk';
import * as z from 'zod/mini';
import { createInvitation, createRoomToken, createSecret } from 'mcp-rendezvous-protocol/token';
import { agentParams } from '../../src/a2a/agent-params.ts';
import {
  agentExtension,
  type AgentParams,
  agentStackAttributes,
  agentStackExtension,
  agentStackUri,
  A2ASignaling,
  extensionAlias,
  extensionUri,
  invitationAttributes,
  invitationMediaType,
  readExtension,
  readInvitation,
  requestedUri,
  signalMediaType,
} from '../../src/a2a/index.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';

type Json = Record<string, unknown>;

const cardWith = (...extensions: unknown[]): AgentCard => AgentCard.fromJSON({ capabilities: { extensions } });
const messageWith = (members: Json): Message =>
  Message.fromJSON(JSON.parse(JSON.stringify({ messageId: 'm-1', parts: [{ text: 'Hello' }], ...members })));

async function invitationFor(role: 'client' | 'server'): Promise<string> {
  const token = await createRoomToken({ key: createSecret(), room: 'desk', role, subject: role, ttl: 600 });
  return createInvitation({ relay: 'wss://relay.example', token, secret: createSecret() });
}

/** What an agent's side hears of a message. */
async function heardIn(message: Message): Promise<SignalMessage[]> {
  const agent = new A2ASignaling(() => {});
  const heard: SignalMessage[] = [];
  agent.onmessage = (signal) => void heard.push(signal);
  await agent.start('answerer');
  agent.accept(message);
  await new Promise(setImmediate);
  return heard;
}

test('the specification shows what the code reads and writes', async () => {
  const text = await readFile(new URL('../../../docs/guides/a2a.md', import.meta.url), 'utf8');
  const blocks = Array.from(text.matchAll(/^```json\n(.*?)^```$/gms), ([, json]) => JSON.parse(json ?? '') as Json);
  const [fulfilled, card, schema, question, reply, invited, ...more] = blocks;
  assert.ok(fulfilled && card && schema && question && reply && invited);
  assert.deepEqual(more, []);

  const { uri, ...params } = readExtension(AgentCard.fromJSON(card))!;
  assert.equal(uri, extensionUri);
  assert.deepEqual(AgentCard.fromJSON(card).capabilities?.extensions, [agentExtension(params)]);
  assert.deepEqual(schema, z.toJSONSchema(agentParams, { io: 'input' }));
  assert.ok(text.includes(`\`${extensionAlias}\` is an alias`));

  const offered = await heardIn(Message.fromJSON(question));
  assert.deepEqual(
    offered.map(({ kind, gen }) => [kind, gen]),
    [['offer', 1]],
  );
  let sent: unknown;
  const desktop = new A2ASignaling((attributes) => {
    sent = attributes;
    return Message.fromJSON(reply);
  });
  const answers: SignalMessage[] = [];
  desktop.onmessage = (signal) => void answers.push(signal);
  await desktop.start('offerer');
  await desktop.send(offered[0]!);
  await new Promise(setImmediate);
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    ['answer'],
  );
  const { metadata, extensions } = question;
  assert.deepEqual(sent, { metadata, extensions });

  const invitation = readInvitation(Message.fromJSON(invited))!;
  assert.deepEqual(invitationAttributes({ default: invitation }), {
    metadata: invited['metadata'],
    extensions: invited['extensions'],
  });
  const stack = cardWith(agentStackExtension({ default: {} }));
  assert.deepEqual(agentStackAttributes(stack, { default: { invitation: 'mcpr1…' } }), fulfilled);
});

test('signals and invitations are read under the alias and in data parts, too', async () => {
  const offer = { kind: 'offer', gen: 1, body: { sdp: 'v=0' } };
  const invitation = await invitationFor('client');
  const forms: Json[] = [
    { metadata: { [extensionAlias]: { signal: offer, invitations: { default: invitation } } } },
    {
      parts: [
        { data: offer, mediaType: signalMediaType },
        { data: { invitation }, mediaType: invitationMediaType },
      ],
    },
  ];
  for (const form of forms) {
    const message = messageWith(form);
    assert.deepEqual(await heardIn(message), [{ kind: 'offer', gen: 1, sdp: 'v=0' }]);
    assert.deepEqual(readInvitation(message), { invitation });
    const task = { ...Task.fromJSON({ id: 't' }), artifacts: [], history: [message] };
    assert.deepEqual(readInvitation(task), { invitation });
  }
});

test('an invitation meets the demand that it is for, and is one for a client', async () => {
  const [one, other] = [await invitationFor('client'), await invitationFor('client')];
  const message = messageWith({ ...invitationAttributes({ notes: { invitation: one }, mail: { invitation: other } }) });
  assert.deepEqual(readInvitation(message, 'notes'), { invitation: one });
  assert.deepEqual(readInvitation(message, 'mail'), { invitation: other });
  for (const demand of ['default', 'toString', '__proto__']) assert.equal(readInvitation(message, demand), undefined);
  const wrongs = [one.slice(0, -5), await invitationFor('server'), { invitation: one }, [one], 7, null];
  for (const wrong of wrongs) {
    const metadata = { [extensionUri]: { invitations: { default: wrong } } };
    assert.equal(readInvitation(messageWith({ metadata })), undefined);
  }
  for (const metadata of [{}, { [extensionUri]: one }, { [extensionUri]: { invitations: one } }]) {
    assert.equal(readInvitation(messageWith({ metadata })), undefined);
  }
});

test('an agent card says what the agent takes, and a client learns by which name to ask', () => {
  const params: AgentParams = { offers: true, invitations: false, relays: ['wss://relay.example'] };
  const entry = agentExtension(params);
  assert.equal(entry.required, false);
  const { uri, ...read } = readExtension(cardWith({ uri: 'https://other.example' }, entry))!;
  assert.deepEqual([uri, read], [extensionUri, params]);
  assert.deepEqual(readExtension(cardWith({ uri: extensionAlias })), {
    uri: extensionAlias,
    offers: true,
    invitations: true,
  });
  const wrong = { uri: extensionUri, params: { offers: 'yes' } };
  // A2A's client hands cards over as they have come.
  const bare = [{}, { capabilities: {} }, { capabilities: { extensions: {} } }] as unknown as AgentCard[];
  for (const card of [cardWith(), AgentCard.fromJSON({}), cardWith(wrong), ...bare]) {
    assert.equal(readExtension(card), undefined);
  }
  assert.equal(requestedUri(['https://other.example', extensionAlias]), extensionAlias);
  assert.equal(requestedUri(['https://other.example']), undefined);
  assert.equal(requestedUri(undefined), undefined);
});

test('no card has an invitation or a secret in it', async () => {
  const invitation = await invitationFor('client');
  const wrongs: Partial<AgentParams>[] = [
    { relays: [`wss://relay.example/${invitation}`] },
    { relays: ['wss://user:password@relay.example'] },
    { relays: ['wss://relay.example/?token=e30.e30.c2ln'] },
    { relays: [`wss://relay.example/#${invitation}`] },
    { relays: ['https://relay.example'] },
    { relays: ['relay'] },
    { demands: { default: { description: `Come in: ${invitation}` } } },
    { demands: { [invitation]: {} } },
    { demands: { default: { description: createSecret() } } },
    { offers: 'yes' as unknown as boolean },
  ];
  for (const wrong of wrongs) {
    assert.throws(() => agentExtension({ offers: true, invitations: true, ...wrong }), { code: 'bad_option' });
  }
  // Members that are not named do not get into the card.
  const { params } = agentExtension({ offers: true, invitations: true, invitation } as AgentParams);
  assert.deepEqual(params, { offers: true, invitations: true });
});

test('a demand of AgentStack is fulfilled with an invitation, where it allows a program', async () => {
  const invitation = await invitationFor('client');
  const card = cardWith(agentStackExtension({ notes: { description: 'Notes' } }));
  assert.deepEqual(card.capabilities?.extensions[0]?.params, {
    mcp_demands: { notes: { description: 'Notes', allowed_transports: ['stdio'] } },
  });
  const message = messageWith({ ...agentStackAttributes(card, { notes: { invitation } }) });
  assert.deepEqual(message.extensions, [agentStackUri]);
  assert.deepEqual(readInvitation(message, 'notes'), { invitation });
  assert.equal(readInvitation(message), undefined);

  // As AgentStack's own SDKs write them: members without a value are null or left out.
  const params = {
    mcp_demands: { default: { description: null, suggested: [], allowed_transports: ['streamable_http'] } },
  };
  const cards = [cardWith(), card, cardWith({ uri: agentStackUri, params })];
  for (const other of [...cards, cardWith({ uri: agentStackUri, params: { mcp_demands: { default: {} } } })]) {
    assert.throws(
      () => agentStackAttributes(other, { default: { invitation } }),
      (error: Error) => {
        assert.match(error.message, /no demand "default" that allows stdio/);
        return !error.message.includes(invitation);
      },
    );
  }
  const http = { type: 'streamable_http', url: 'https://mcp.example/', headers: null };
  const metadata = { [agentStackUri]: { mcp_fulfillments: { default: { transport: http } } } };
  assert.equal(readInvitation(messageWith({ metadata })), undefined);
});

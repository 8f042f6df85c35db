import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  fromJsonSchema,
  inputRequired,
  type InputRequest,
  inputResponse,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import * as z from 'zod';

/** A PNG of one pixel, and a WAV file without a sample. */
export const image = {
  data: 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
  mimeType: 'image/png',
};
const audio = { data: 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=', mimeType: 'audio/wav' };

/** What a tool of the suite does is written there. */
export const described = { description: 'As the conformance suite has it' };
export const text = (content: string) => ({ content: [{ type: 'text' as const, text: content }] });
const info = (data: string) => ({ method: 'notifications/message', params: { level: 'info', data } });

/**
 * The tools whose names the conformance suite knows: one for each kind of content, message and
 * question.
 */
export function registerTools(server: McpServer): void {
  server.registerTool('test_simple_text', described, () => text('This is a simple text response for testing.'));
  server.registerTool('test_image_content', described, () => ({ content: [{ type: 'image', ...image }] }));
  server.registerTool('test_audio_content', described, () => ({ content: [{ type: 'audio', ...audio }] }));
  const embedded = (uri: string, mimeType: string, body: string) => ({
    type: 'resource' as const,
    resource: { uri, mimeType, text: body },
  });
  server.registerTool('test_embedded_resource', described, () => ({
    content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  }));
  server.registerTool('test_multiple_content_types', described, () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      { type: 'image', ...image },
      embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
    ],
  }));
  server.registerTool('test_error_handling', described, () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  server.registerTool('test_tool_with_logging', described, async ({ mcpReq }) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await mcpReq.notify(info(data));
    }
    return text('Tool with logging executed successfully');
  });
  server.registerTool('test_logging_tool', described, async ({ mcpReq }) => {
    // oxlint-disable-next-line typescript/no-deprecated -- the protocol has it
    await mcpReq.log('info', 'Only for those who set a log level');
    return text('Logged');
  });
  server.registerTool('test_tool_with_progress', described, async ({ mcpReq: { _meta, notify } }) => {
    const progressToken = _meta?.progressToken ?? 0;
    for (const progress of [0, 50, 100]) {
      const params = { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` };
      await notify({ method: 'notifications/progress', params });
    }
    return text(String(progressToken));
  });
  server.registerTool('test_reconnection', described, ({ http }) => {
    http?.closeSSE?.();
    return text('Answered after the stream was closed');
  });
  const region = { type: 'string', 'x-mcp-header': 'Region' } as const;
  const regional = fromJsonSchema<{ region: string }>({
    type: 'object',
    properties: { region },
    required: ['region'],
  });
  server.registerTool('test_header', { ...described, inputSchema: regional }, (args) => text(args.region));
  server.registerTool('json_schema_2020_12_tool', { ...described, inputSchema: fromJsonSchema(contact) }, (args) =>
    text(JSON.stringify(args)),
  );
  registerQuestions(server);
}

/** Every keyword of JSON Schema 2020-12 that a list of tools has to keep (SEP-1613, SEP-2106). */
const contact = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object' as const,
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

const anyObject = z.looseObject({});

/** Tools that ask the client during the call, as servers did before 2026-07-28. */
function registerQuestions(server: McpServer): void {
  server.registerTool(
    'test_sampling',
    { ...described, inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, ctx) => {
      const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
      const request = { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } };
      const result = await ctx.mcpReq.send(request, anyObject);
      const { content } = z.looseObject({ content: z.looseObject({ text: z.string() }) }).parse(result);
      return text(`LLM response: ${content.text}`);
    },
  );
  const elicit = async ({ mcpReq }: ServerContext, message: string, properties: object, required: string[] = []) => {
    const requestedSchema = { type: 'object', properties, required };
    const result = await mcpReq.send({ method: 'elicitation/create', params: { message, requestedSchema } }, anyObject);
    return text(
      `User response: action=${String(result['action'])}, content=${JSON.stringify(result['content'] ?? {})}`,
    );
  };
  server.registerTool(
    'test_elicitation',
    { ...described, inputSchema: z.object({ message: z.string() }) },
    ({ message }, ctx) =>
      elicit(ctx, message, { response: { type: 'string', description: "User's response" } }, ['response']),
  );
  server.registerTool('test_elicitation_sep1034_defaults', described, (ctx) =>
    elicit(ctx, 'Please review the defaults', {
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    }),
  );
  const titled = (...names: string[]) => names.map((name, i) => ({ const: `value${i + 1}`, title: name }));
  server.registerTool('test_elicitation_sep1330_enums', described, (ctx) =>
    elicit(ctx, 'Please choose', {
      untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
      titledSingle: { type: 'string', oneOf: titled('First Option', 'Second Option', 'Third Option') },
      legacyEnum: {
        type: 'string',
        enum: ['opt1', 'opt2', 'opt3'],
        enumNames: ['Option One', 'Option Two', 'Option Three'],
      },
      untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
      titledMulti: { type: 'array', items: { anyOf: titled('First Choice', 'Second Choice', 'Third Choice') } },
    }),
  );
}

/** What a client of 2026-07-28 says it can do. */
export function capabilitiesOf({ mcpReq }: ServerContext): ClientCapabilities {
  const envelope: { [CLIENT_CAPABILITIES_META_KEY]?: ClientCapabilities } | undefined = mcpReq.envelope;
  return envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
}

const person = z.object({ name: z.string() });
export const askName = (message = 'What is your name?'): InputRequest =>
  inputRequired.elicit({ mode: 'form', message, requestedSchema: person });
export const askModel = (): InputRequest =>
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: 'What is the capital of France?' } }],
    maxTokens: 100,
  });

/** Tools that answer with a question, as 2026-07-28 has it (SEP-2322). */
export function registerInputTools(server: McpServer, mint: (state: { step: number }) => Promise<string>): void {
  const tool = (name: string, ask: (ctx: ServerContext) => ReturnType<typeof text> | Asked | Promise<Asked>) =>
    server.registerTool(`test_input_required_result_${name}`, described, ask);
  const name = (ctx: ServerContext, key: string) => acceptedContent(ctx.mcpReq.inputResponses, key, person)?.name;
  const kind = (ctx: ServerContext, key: string) => inputResponse(ctx.mcpReq.inputResponses, key).kind;

  tool('elicitation', (ctx) => {
    const given = name(ctx, 'user_name');
    return given === undefined ? inputRequired({ inputRequests: { user_name: askName() } }) : text(`Hello, ${given}!`);
  });
  tool('sampling', (ctx) =>
    kind(ctx, 'capital') === 'sampling' ? text('Sampled') : inputRequired({ inputRequests: { capital: askModel() } }),
  );
  tool('list_roots', (ctx) =>
    kind(ctx, 'roots') === 'roots'
      ? text('Got the roots')
      : inputRequired({ inputRequests: { roots: inputRequired.listRoots() } }),
  );
  for (const stateful of ['request_state', 'tampered_state']) {
    tool(stateful, async (ctx) =>
      ctx.mcpReq.requestState() !== undefined && kind(ctx, 'confirm') === 'elicit'
        ? text('state-ok')
        : inputRequired({
            inputRequests: { confirm: askName('Please confirm') },
            requestState: await mint({ step: 1 }),
          }),
    );
  }
  tool('multiple_inputs', async (ctx) =>
    ctx.mcpReq.requestState() !== undefined
      ? text('Got all of them')
      : inputRequired({
          inputRequests: { user_name: askName(), greeting: askModel(), roots: inputRequired.listRoots() },
          requestState: await mint({ step: 1 }),
        }),
  );
  tool('multi_round', async (ctx) => {
    const step = ctx.mcpReq.requestState<{ step: number }>()?.step ?? 0;
    if (step >= 2) return text('All rounds are done');
    const requestState = await mint({ step: step + 1 });
    return inputRequired({ inputRequests: { [`step${step + 1}`]: askName(`Step ${step + 1}`) }, requestState });
  });
  tool('capabilities', (ctx) => {
    const { sampling, elicitation } = capabilitiesOf(ctx);
    const inputRequests = {
      ...(sampling ? { capital: askModel() } : {}),
      ...(elicitation ? { user_name: askName() } : {}),
    };
    return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : text('Nothing to ask');
  });
  server.registerTool('test_streaming_elicitation', described, () =>
    inputRequired({ inputRequests: { user_name: askName() } }),
  );
  // The SDK does not ask a client for what it has not declared, and answers -32021 instead.
  server.registerTool('test_missing_capability', described, () =>
    inputRequired({ inputRequests: { capital: askModel() } }),
  );
}
type Asked = ReturnType<typeof inputRequired> | ReturnType<typeof text>;

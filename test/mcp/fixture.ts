import { EventEmitter } from 'node:events';

/**
 * What happens inside a fixture server, for a test to see: a tool waits to be cancelled, was
 * cancelled, the session ended.
 */
export class Witness extends EventEmitter<{ waiting: []; cancelled: []; closed: [] }> {}

/** The tools of every fixture server. */
export const toolNames = [
  'add',
  'ask-elicitation',
  'ask-roots',
  'ask-sampling',
  'echo',
  'fail',
  'large',
  'log',
  'progress',
  'throw',
  'touch',
  'wait',
  'whoami',
];

export const poem = { uri: 'text://poem', text: 'Über allen Gipfeln ist Ruh’' };
/** Its text is the number of times that the tool `touch` was called. */
export const counterUri = 'text://counter';
export const largeText = '€'.repeat(66_667); // 200 KB of UTF-8
export const progressSteps = 5;

/** What the fixture servers ask a client for, and how the fixture clients answer. */
export const asked = {
  sampling: {
    messages: [{ role: 'user' as const, content: { type: 'text' as const, text: 'Say something.' } }],
    maxTokens: 10,
  },
  elicitation: {
    message: 'Who are you?',
    requestedSchema: {
      type: 'object' as const,
      properties: { name: { type: 'string' as const } },
      required: ['name'],
    },
  },
};
export const answers = {
  sampling: { role: 'assistant' as const, content: { type: 'text' as const, text: 'Something.' }, model: 'fixture' },
  elicitation: { action: 'accept' as const, content: { name: 'Ada' } },
  roots: { roots: [{ uri: 'file:///project', name: 'project' }] },
};

/** A tool's result of one text. */
export const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] });
export const failure = (value: string) => ({ ...text(value), isError: true });
